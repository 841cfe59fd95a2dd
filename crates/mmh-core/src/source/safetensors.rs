//! safetensors: a `u64` length, a JSON header of that length, the tensors. Believed only where the reference
//! implementation (0.8) loads the file, or would if it were whole; what that tolerates by accident of its parser
//! (an entry spelled as a list, a name given twice) stays opaque. Of a file that is cut off behind its header, the
//! tensors that are whole are found.
//!
//! The header can be 100 MB of somebody else's JSON, so it is parsed straight into the tensors, and all else
//! in it is checked but not kept.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::{Format, Input, Layout, Tensor, collect};
use crate::dtype::Dtype;

/// The reference's limit.
const MAX_HEADER: u64 = 100_000_000;

/// Finds the tensors of a safetensors file.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let begin = input.read(0, 9)?;
    let (len, first) = begin.split_first_chunk::<8>()?;
    let len = u64::from_le_bytes(*len);
    // Many files begin with a small number; this spares reading megabytes of them to no end.
    if len > MAX_HEADER || !matches!(first, [b'{' | b' ' | b'\t' | b'\n' | b'\r']) {
        return None;
    }
    let header = input.read(8, usize::try_from(len).ok()?)?;
    let mut json = serde_json::Deserializer::from_str(str::from_utf8(&header).ok()?);
    let mut entries = json.deserialize_map(Header).ok()?;
    json.end().ok()?;

    let mut names = HashSet::with_capacity(entries.len());
    if !entries.iter().all(|(name, _)| names.insert(name.as_str())) {
        return None;
    }
    // Stable, so that empty tensors at the same place keep the header's order.
    entries.sort_by_key(|(_, entry)| entry.offsets);
    let data = 8 + len;
    let mut end = 0;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, Entry { dtype, shape, offsets: (from, to) }) in entries {
        let len = to.checked_sub(from)?;
        if from != end || size(dtype, &shape)? != len {
            return None;
        }
        end = to;
        tensors.push(Tensor { name, dtype, shape, fortran: false, start: data.checked_add(from)?, len });
    }
    let end = data.checked_add(end)?;
    if end < input.bytes.len() {
        // Bytes behind the last tensor.
        return None;
    }
    if input.reaches(end) {
        return Some(Layout::of(Format::Safetensors, tensors));
    }
    Some(collect(input, Format::Safetensors, tensors, Vec::new()))
}

/// Bytes of a tensor. As in the reference, the dimensions before a zero must not overflow either.
fn size(dtype: Dtype, shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d))?;
    dtype.size_of(shape)
}

/// What the header says of a tensor; offsets count from the end of the header.
struct Entry {
    dtype: Dtype,
    shape: Vec<u64>,
    offsets: (u64, u64),
}

/// Lets a visitor read a value or a key of whatever type is there.
struct Any<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Any<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        json.deserialize_any(self.0)
    }
}

/// Reads the whole header: the tensors in its order.
struct Header;

impl<'de> Visitor<'de> for Header {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut entries = Vec::new();
        let mut metadata = None;
        while let Some(name) = map.next_key::<String>()? {
            if name != "__metadata__" {
                entries.push((name, map.next_value_seed(Any(TensorInfo))?));
            } else if metadata.replace(map.next_value_seed(Any(Metadata))?).is_some() {
                return Err(Error::duplicate_field("__metadata__"));
            }
        }
        Ok(entries)
    }
}

/// Reads an [`Entry`].
struct TensorInfo;

impl<'de> Visitor<'de> for TensorInfo {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of dtype, shape and data_offsets")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entry, M::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let again = match key.as_str() {
                "dtype" => dtype.replace(map.next_value::<String>()?).is_some(),
                "shape" => shape.replace(map.next_value()?).is_some(),
                "data_offsets" => offsets.replace(map.next_value()?).is_some(),
                _ => {
                    map.next_value_seed(Any(Skip))?;
                    false
                }
            };
            if again {
                return Err(Error::custom(format_args!("{key} is there twice")));
            }
        }
        Ok(Entry {
            dtype: dtype
                .and_then(|name| Dtype::from_name(&name))
                .ok_or_else(|| Error::custom("no dtype, or an unknown one"))?,
            shape: shape.ok_or_else(|| Error::missing_field("shape"))?,
            offsets: offsets.ok_or_else(|| Error::missing_field("data_offsets"))?,
        })
    }
}

/// Checks that `__metadata__` is null, or a map of strings to strings.
struct Metadata;

impl<'de> Visitor<'de> for Metadata {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while map.next_entry_seed(Any(Text), Any(Text))?.is_some() {}
        Ok(())
    }
}

/// Checks that a value is a string.
struct Text;

impl Visitor<'_> for Text {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Reads over any value. Not serde's `IgnoredAny`, with which serde_json passes over strings and numbers that
/// the reference, which reads them, refuses.
struct Skip;

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element_seed(Any(Skip))?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while map.next_entry_seed(Any(Text), Any(Skip))?.is_some() {}
        Ok(())
    }
}
