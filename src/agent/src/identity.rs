//! Who this access point is: a hardware id that survives everything, a boot id for this run, its name and release.

use std::fs;
use std::io::Read;
use std::path::Path;

use whichroom_wire::{Id, Mac};

/// A hash of the lowest permanent MAC address: the same after a reset, another on other hardware, and no address.
pub(crate) fn node() -> String {
    let mac = lowest_mac(Path::new("/sys/class/net"));
    let seed = mac.map_or_else(|| hostname().unwrap_or_default().into_bytes(), |mac| mac.octets().to_vec());
    let hash = fnv1a(&seed);
    format!("{:012x}", hash >> 16)
}

fn lowest_mac(directory: &Path) -> Option<Mac> {
    let addresses = fs::read_dir(directory).ok()?.filter_map(|entry| {
        let text = read_bounded(&entry.ok()?.path().join("address"))?;
        text.trim().parse::<Mac>().ok().filter(|mac| mac.is_station())
    });
    // Locally administered addresses may be made up anew at each boot.
    addresses.min_by_key(|mac| (mac.is_locally_administered(), *mac))
}

/// FNV-1a with 64 bits: no secret, only short and evenly spread.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Random, for this run.
pub(crate) fn boot() -> Result<String, String> {
    let mut bytes = [0; 6];
    let mut file = fs::File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
    file.read_exact(&mut bytes).map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The host name made an id.
pub(crate) fn name() -> Result<Id, String> {
    let name = hostname().ok_or("--name: not given, and the host name cannot be read")?;
    Id::from_name(name.trim())
        .ok_or_else(|| format!("--name: not given, and the host name {name:?} has no usable character"))
}

fn hostname() -> Option<String> {
    read_bounded(Path::new("/proc/sys/kernel/hostname")).or_else(|| read_bounded(Path::new("/etc/hostname")))
}

/// OpenWrt's release, such as 24.10.1.
pub(crate) fn release() -> Option<String> {
    release_in(&read_bounded(Path::new("/etc/openwrt_release"))?)
}

fn release_in(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("DISTRIB_RELEASE="))?;
    Some(value.trim().trim_matches(['\'', '"']).chars().take(32).collect())
}

/// The first kilobytes of a file of text.
fn read_bounded(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(8 << 10).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_found_in_its_file() {
        let text = "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.1'\nDISTRIB_REVISION='r1'\n";
        assert_eq!(release_in(text), Some("24.10.1".to_owned()));
        assert_eq!(release_in(""), None);
    }

    #[test]
    fn permanent_addresses_come_before_made_up_ones() {
        let directory = std::env::temp_dir().join(format!("whichroom-net-{}", std::process::id()));
        for (interface, address) in [
            ("lo", "00:00:00:00:00:00"),
            ("br-lan", "02:00:00:00:00:01"),
            ("eth1", "44:00:00:00:00:02"),
            ("eth0", "44:00:00:00:00:01"),
            ("tun0", ""),
        ] {
            fs::create_dir_all(directory.join(interface)).unwrap();
            fs::write(directory.join(interface).join("address"), format!("{address}\n")).unwrap();
        }
        assert_eq!(lowest_mac(&directory), Some(Mac::new([0x44, 0, 0, 0, 0, 1])));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(lowest_mac(&directory), None);
    }

    #[test]
    fn boots_differ_and_nodes_do_not() {
        assert_ne!(boot().unwrap(), boot().unwrap());
        assert_eq!(node(), node());
        assert_eq!(node().len(), 12);
    }
}
