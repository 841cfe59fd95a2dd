//! Unsigned LEB128, shortest form only.

/// Appends a number.
pub fn write(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Reads a number from the front of `data` and moves it on; `None` if it is cut off, too large, or longer than need be.
pub fn read(data: &mut &[u8]) -> Option<u64> {
    let mut v = 0u64;
    for i in 0..10 {
        let (&b, later) = data.split_first()?;
        *data = later;
        v |= ((b & 0x7f) as u64) << (7 * i);
        if b < 0x80 {
            let too_long = b == 0 && i > 0;
            let too_large = i == 9 && b > 1;
            return (!too_long && !too_large).then_some(v);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_has_one_form() {
        for v in (0..64).flat_map(|s| [1u64 << s, (1 << s) - 1, u64::MAX >> s]) {
            let mut b = Vec::new();
            write(v, &mut b);
            assert_eq!(read(&mut b.as_slice()), Some(v));
            assert_eq!(read(&mut &b[..b.len() - 1]), None);
        }
        assert_eq!(read(&mut [0x80, 0].as_slice()), None);
        assert_eq!(read(&mut [0xff; 11].as_slice()), None);
        assert_eq!(read(&mut [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2].as_slice()), None);
    }
}
