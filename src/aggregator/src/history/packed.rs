//! An hour of a signal in one row: the minutes that have readings, in order, six bytes each: minute of the hour, the
//! weakest, the mean and the strongest in dBm, and how many readings (little-endian).

use std::collections::BTreeMap;

/// Bytes a minute.
const MINUTE_BYTES: usize = 6;

/// A minute's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    pub min_dbm: i8,
    pub mean_dbm: i8,
    pub max_dbm: i8,
    pub count: u16,
}

/// By minute of the hour, 0 to 59.
pub type Hour = BTreeMap<u8, Minute>;

/// The bytes of an hour.
pub fn pack(hour: &Hour) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(hour.len() * MINUTE_BYTES);
    for (minute, figures) in hour {
        let [low, high] = figures.count.to_le_bytes();
        let signals = [figures.min_dbm, figures.mean_dbm, figures.max_dbm].map(i8::cast_unsigned);
        bytes.extend([*minute, signals[0], signals[1], signals[2], low, high]);
    }
    bytes
}

/// The hour of bytes.
pub fn unpack(bytes: &[u8]) -> Hour {
    minutes(bytes).collect()
}

/// The minutes of bytes, as they lie there; what is no minute is left out.
pub fn minutes(bytes: &[u8]) -> impl Iterator<Item = (u8, Minute)> {
    let minute = |chunk: &[u8; MINUTE_BYTES]| {
        let &[minute @ 0..60, min, mean, max, low, high] = chunk else { return None };
        let [min_dbm, mean_dbm, max_dbm] = [min, mean, max].map(u8::cast_signed);
        Some((minute, Minute { min_dbm, mean_dbm, max_dbm, count: u16::from_le_bytes([low, high]) }))
    };
    bytes.as_chunks().0.iter().filter_map(minute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_minute() -> impl Strategy<Value = Minute> {
        let figures = (any::<i8>(), any::<i8>(), any::<i8>(), any::<u16>());
        figures.prop_map(|(min_dbm, mean_dbm, max_dbm, count)| Minute { min_dbm, mean_dbm, max_dbm, count })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(hour in proptest::collection::btree_map(0u8..60, any_minute(), 0..60)) {
            prop_assert_eq!(unpack(&pack(&hour)), hour);
        }

        #[test]
        fn any_bytes_unpack(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(unpack(&bytes).len() <= 60);
        }
    }
}
