//! Who made a device, by the first half of its address: IEEE's public registry (blocks of 2^24, 2^20 and 2^12 addresses),
//! put into the program by `build.rs`. The page shows it for unknown devices.

use std::io::Read as _;
use std::sync::OnceLock;

use flate2::read::ZlibDecoder;
use whichroom_wire::Mac;

/// Lines in order: a prefix of 6, 7 or 9 hexadecimal digits, a tab, a name.
static REGISTRY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vendors.zlib"));
/// Lengths of prefixes, the longest first: a block of a block belongs to somebody else.
const LENGTHS: [usize; 3] = [9, 7, 6];

/// The maker of a device, if its address is not one that it made up itself.
pub fn vendor(mac: Mac) -> Option<&'static str> {
    if mac.is_locally_administered() {
        return None;
    }
    let digits: String = mac.octets().iter().map(|octet| format!("{octet:02X}")).collect();
    LENGTHS.iter().find_map(|length| line(digits.get(..*length)?))
}

fn line(prefix: &str) -> Option<&'static str> {
    let lines = registry();
    let place = lines.binary_search_by(|(known, _)| (*known).cmp(prefix)).ok()?;
    lines.get(place).map(|(_, name)| *name)
}

/// Read the first time that somebody asks.
fn registry() -> &'static [(&'static str, &'static str)] {
    static TEXT: OnceLock<String> = OnceLock::new();
    static LINES: OnceLock<Vec<(&str, &str)>> = OnceLock::new();
    LINES.get_or_init(|| {
        let text = TEXT.get_or_init(|| {
            let mut text = String::new();
            // Our own build wrote it; a test reads it to the end.
            let _ = ZlibDecoder::new(REGISTRY).read_to_string(&mut text);
            text
        });
        text.lines().filter_map(|line| line.split_once('\t')).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<&'static str> {
        vendor(text.parse().unwrap())
    }

    #[test]
    fn the_registry_reads_to_its_end_in_order() {
        let lines = registry();
        assert!(lines.len() > 50_000, "{}", lines.len());
        assert!(lines.is_sorted_by(|one, other| one.0 < other.0));
        assert!(lines.iter().all(|(prefix, name)| LENGTHS.contains(&prefix.len()) && !name.is_empty()));
    }

    #[test]
    fn blocks_of_each_size() {
        assert_eq!(of("b8:27:eb:12:34:56"), Some("Raspberry Pi Foundation"));
        assert_eq!(of("b8:4c:87:40:00:01"), Some("Blum Novotest GmbH"));
        assert_eq!(of("70:b3:d5:00:10:11"), Some("SOREDI touch systems GmbH"));
    }

    #[test]
    fn a_private_address_names_nobody() {
        assert_eq!(of("ba:27:eb:12:34:56"), None);
        assert_eq!(of("00:00:5e:ff:ff:ff").is_some(), of("00:00:5e:00:00:00").is_some());
    }
}
