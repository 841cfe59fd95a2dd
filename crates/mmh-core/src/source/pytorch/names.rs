//! What the tensors of a pickle are called, and which of them become tensors of the container.
//!
//! A tensor's name is the way to it from the root: keys and positions with dots between them. Where an object is a module, the
//! dicts that it keeps its parameters, buffers and modules in are left out, so that a pickled module has the names of its
//! state dict. A tensor that can be reached in several ways has the name of the first.
//!
//! Tensors of a checkpoint may share a storage (tied weights, slices), may cover only a part of it, or may step through it in
//! any order; a tensor of the container is a range of bytes. So of the tensors that see a storage, those become tensors of the
//! container that are contiguous (the last axis first or the first axis first) and do not overlap one that begins before them,
//! or one that begins with them and is longer. A storage that no tensor sees that way is called like the first that sees it
//! with `.storage` behind, flat. What is left of a storage has a dtype and no name.

use super::super::{Hint, MAX_NAMES, Tensor};
use super::global::Stored;
use super::pickle::{Pickle, Value, View};

/// Dicts in lists in dicts, so deep.
const MAX_DEPTH: u32 = 100;
/// What is called like that in a module is no part of names.
const OF_MODULES: [&str; 3] = ["_parameters", "_buffers", "_modules"];
/// The name of a tensor that is all there is.
const ONLY: &str = "data";

/// Where a storage is in the file.
#[derive(Clone, Copy)]
pub struct Place {
    /// Source offset of its first byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// The tensors and hints of the storages at these places, in the order of the pickle's storages.
pub fn tensors(pickle: &Pickle, prefix: &str, places: &[Option<Place>]) -> (Vec<Tensor>, Vec<Hint>) {
    let names = Names::of(pickle, prefix);
    let mut seen: Vec<Vec<(usize, &View)>> = vec![Vec::new(); pickle.storages.len()];
    for (i, view) in pickle.views.iter().enumerate() {
        if let Some(views) = seen.get_mut(view.storage as usize) {
            views.push((i, view));
        }
    }
    let (mut tensors, mut hints) = (Vec::new(), Vec::new());
    for ((storage, views), place) in pickle.storages.iter().zip(&seen).zip(places) {
        let Some(place) = place else { continue };
        let before = tensors.len();
        let mut at = 0;
        for (name, stored, range) in chosen(&names, views, place.len) {
            hint(&mut hints, storage.stored, *place, at, range.start);
            let start = place.start.saturating_add(range.start);
            at = range.start + range.len;
            match stored.dtype() {
                Some(dtype) => tensors.push(Tensor {
                    name: name.clone(),
                    dtype,
                    shape: range.shape,
                    fortran: range.fortran,
                    start,
                    len: range.len,
                }),
                None => hint(&mut hints, stored, *place, range.start, at),
            }
        }
        if tensors.len() == before && at == 0 {
            let first = views.iter().find_map(|(i, view)| Some((names.get(*i)?, view.stored)));
            match first.and_then(|(name, stored)| flat(name, stored, *place)) {
                Some(tensor) => tensors.push(tensor),
                None => hint(&mut hints, storage.stored, *place, 0, place.len),
            }
        } else {
            hint(&mut hints, storage.stored, *place, at, place.len);
        }
    }
    (tensors, hints)
}

/// All of a storage.
fn flat(name: &str, stored: Stored, place: Place) -> Option<Tensor> {
    let dtype = stored.dtype()?;
    let count = place.len / stored.width();
    let whole = count > 0 && count * stored.width() == place.len;
    let name = format!("{name}.storage");
    whole.then(|| Tensor {
        name,
        dtype,
        shape: vec![count],
        fortran: false,
        start: place.start,
        len: place.len,
    })
}

/// Notes the dtype of the bytes of a storage from one place in it to another.
fn hint(hints: &mut Vec<Hint>, stored: Stored, place: Place, from: u64, to: u64) {
    if from < to {
        let start = place.start.saturating_add(from);
        hints.push(Hint { start, len: to - from, dtype: stored.dtype });
    }
}

/// A tensor that is a range of its storage.
struct Range {
    start: u64,
    len: u64,
    shape: Vec<u64>,
    fortran: bool,
}

/// The tensors that a storage of so many bytes is cut into, in order of their offsets.
fn chosen<'n>(names: &'n Names, views: &[(usize, &View)], len: u64) -> Vec<(&'n String, Stored, Range)> {
    let mut found: Vec<_> =
        views.iter().filter_map(|(i, view)| Some((names.get(*i)?, view.stored, range(view, len)?))).collect();
    found.sort_by_key(|(_, _, range)| (range.start, std::cmp::Reverse(range.len)));
    let mut end = 0;
    let mut empty = false;
    found.retain(|(_, _, range)| {
        // Empty tensors are named where they are alone.
        let free = range.start >= end && (range.len > 0 || !empty);
        if free {
            end = range.start + range.len;
            empty = range.len == 0;
        }
        free
    });
    found
}

/// The range of a tensor, if it is contiguous and within its storage.
fn range(view: &View, len: u64) -> Option<Range> {
    let width = view.stored.width();
    let count = view.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
    let (start, bytes) = (view.offset.checked_mul(width)?, count.checked_mul(width)?);
    let within = start.checked_add(bytes)? <= len;
    let axes = || view.shape.iter().copied().zip(view.strides.iter().copied());
    let last_first = contiguous(axes().rev());
    let first_first = contiguous(axes());
    let fortran = !last_first && first_first;
    (within && (count == 0 || last_first || first_first)).then(|| Range {
        start,
        len: bytes,
        shape: view.shape.clone(),
        fortran,
    })
}

/// Whether each stride steps over what the axes before it cover. The stride of an axis of one element does not matter.
fn contiguous(axes: impl Iterator<Item = (u64, u64)>) -> bool {
    let mut step = Some(1u64);
    for (size, stride) in axes {
        if size != 1 && step != Some(stride) {
            return false;
        }
        step = step.and_then(|step| step.checked_mul(size));
    }
    true
}

/// The names of a pickle's tensors.
struct Names {
    names: Vec<Option<String>>,
    visited: Vec<bool>,
    /// Bytes that names may still take.
    budget: usize,
}

impl Names {
    fn of(pickle: &Pickle, prefix: &str) -> Names {
        let mut names = Names {
            names: vec![None; pickle.views.len()],
            visited: vec![false; pickle.nodes.len()],
            budget: MAX_NAMES,
        };
        let mut path = prefix.to_owned();
        names.visit(pickle, pickle.root, &mut path, 0);
        names
    }

    fn get(&self, view: usize) -> Option<&String> {
        self.names.get(view)?.as_ref()
    }

    fn visit(&mut self, pickle: &Pickle, value: Value, path: &mut String, depth: u32) {
        if let Value::Tensor(i) = value
            && let Some(name @ None) = self.names.get_mut(i as usize)
        {
            *name = Some(if path.is_empty() { ONLY.into() } else { path.clone() });
        }
        let (Value::Node(i), Some(node)) = (value, pickle.node(value)) else { return };
        let first = self.visited.get_mut(i as usize).is_some_and(|visited| !std::mem::replace(visited, true));
        if !first || depth == MAX_DEPTH {
            return;
        }
        for (i, item) in node.items.iter().enumerate() {
            self.step(pickle, *item, &i.to_string(), path, depth);
        }
        for (i, (key, value)) in node.entries.iter().enumerate() {
            match (key, pickle.text(*key)) {
                (Value::Nothing, _) => self.visit(pickle, *value, path, depth + 1),
                (_, Some(key)) if OF_MODULES.contains(&key) => self.visit(pickle, *value, path, depth + 1),
                (_, Some(key)) => self.step(pickle, *value, key, path, depth),
                (Value::Int(key), _) => self.step(pickle, *value, &key.to_string(), path, depth),
                _ => self.step(pickle, *value, &i.to_string(), path, depth),
            }
        }
    }

    /// One key further on the way.
    fn step(&mut self, pickle: &Pickle, value: Value, key: &str, path: &mut String, depth: u32) {
        let leads_on = matches!(value, Value::Node(_) | Value::Tensor(_));
        let Some(left) = self.budget.checked_sub(path.len() + key.len()).filter(|_| leads_on) else { return };
        self.budget = left;
        let len = path.len();
        if len > 0 {
            path.push('.');
        }
        path.push_str(key);
        self.visit(pickle, value, path, depth + 1);
        path.truncate(len);
    }
}
