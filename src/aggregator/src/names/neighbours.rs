//! Which addresses devices have, from the kernel's neighbour table (ARP and IPv6 neighbour discovery): what this machine
//! exchanged packets with lately. It is read over netlink, which needs no rights; nothing is sent to anybody.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{RouteNetlinkMessage, neighbour::NeighbourState};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use whichroom_wire::Mac;

/// Entries that are read; the kernel itself keeps 1024 unless told otherwise.
const ENTRIES_MAX: usize = 8_192;
/// The kernel fills at most 32 KiB at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// The table as it is now.
pub fn read() -> io::Result<BTreeSet<(Mac, IpAddr)>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut table = BTreeSet::new();
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let is_over = take(&buffer, &mut table)?;
        if is_over || table.len() > ENTRIES_MAX {
            return Ok(table);
        }
    }
}

fn request() -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    let payload = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(payload));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Takes the entries of one datagram. Returns whether it was the last.
pub(crate) fn take(mut bytes: &[u8], table: &mut BTreeSet<(Mac, IpAddr)>) -> io::Result<bool> {
    if bytes.is_empty() {
        return Ok(true);
    }
    while !bytes.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        if let NetlinkPayload::Done(_) = &message.payload {
            return Ok(true);
        }
        if let NetlinkPayload::Error(error) = &message.payload {
            // The library's own conversion cannot negate the lowest number.
            return Err(io::Error::from_raw_os_error(error.raw_code().saturating_abs()));
        }
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(entry)) = &message.payload {
            table.extend(neighbour(entry));
        }
        // Messages begin at multiples of four bytes.
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).max(1);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// A device and its address, if the entry has both and was ever confirmed.
fn neighbour(entry: &NeighbourMessage) -> Option<(Mac, IpAddr)> {
    if matches!(entry.header.state, NeighbourState::Incomplete | NeighbourState::Failed) {
        return None;
    }
    let mac = entry.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(octets) = attribute else { return None };
        <[u8; 6]>::try_from(octets.as_slice()).ok()
    })?;
    let address = entry.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::Destination(address) = attribute else { return None };
        if let NeighbourAddress::Inet(address) = address {
            return Some(IpAddr::V4(*address));
        }
        let NeighbourAddress::Inet6(address) = address else { return None };
        Some(IpAddr::V6(*address))
    })?;
    Some(Mac::new(mac)).filter(|mac| mac.is_station()).map(|mac| (mac, address))
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::AddressFamily;
    use proptest::prelude::*;

    use super::*;

    fn entry(state: NeighbourState, mac: &[u8], address: &str) -> NeighbourMessage {
        let mut entry = NeighbourMessage::default();
        let address: IpAddr = address.parse().unwrap();
        entry.header.state = state;
        let destination = match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        };
        entry.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        entry.attributes.push(NeighbourAttribute::Destination(destination));
        entry.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        entry
    }

    /// Entries as the kernel sends them.
    fn datagram(entries: &[NeighbourMessage]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            let payload = RouteNetlinkMessage::NewNeighbour(entry.clone());
            let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(payload));
            message.finalize();
            let begin = bytes.len();
            bytes.resize(begin + message.buffer_len(), 0);
            message.serialize(&mut bytes[begin..]);
        }
        bytes
    }

    /// Confirmed entries as the kernel writes them for people: address, type, flags, device.
    fn arp() -> BTreeSet<(Mac, IpAddr)> {
        let text = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
        let entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [address, _, "0x2" | "0x6", mac, ..] = words.as_slice() else { return None };
            Some((mac.parse::<Mac>().ok()?, address.parse().ok()?))
        };
        text.lines().filter_map(entry).filter(|(mac, _)| mac.is_station()).collect()
    }

    #[test]
    fn this_machines_own_table_reads_as_the_kernel_writes_it() {
        // Entries may come and go meanwhile: what is there before and after is there between.
        let (before, table, after) = (arp(), read().unwrap(), arp());
        let missing: Vec<_> = before.intersection(&after).filter(|entry| !table.contains(entry)).collect();
        assert!(missing.is_empty(), "{missing:?} of {before:?}");
    }

    #[test]
    fn what_was_confirmed_counts() {
        let phone = [2, 0, 0, 0, 0, 1];
        let bytes = datagram(&[
            entry(NeighbourState::Reachable, &phone, "192.168.1.20"),
            entry(NeighbourState::Stale, &phone, "fd00::20"),
            entry(NeighbourState::Failed, &[2, 0, 0, 0, 0, 2], "192.168.1.21"),
            entry(NeighbourState::Incomplete, &[2, 0, 0, 0, 0, 3], "192.168.1.22"),
            entry(NeighbourState::Noarp, &[0; 6], "127.0.0.1"),
            entry(NeighbourState::Reachable, &[1, 2, 3], "192.168.1.23"),
        ]);
        let mut table = BTreeSet::new();
        assert!(!take(&bytes, &mut table).unwrap());
        let phone = Mac::new(phone);
        let expected = [(phone, "192.168.1.20".parse().unwrap()), (phone, "fd00::20".parse().unwrap())];
        assert_eq!(table, BTreeSet::from(expected));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_go_on_for_ever(
            at in 0..200_usize, to in any::<u8>(), cut in 0..100_usize,
        ) {
            let mut bytes = datagram(&[
                entry(NeighbourState::Reachable, &[2, 0, 0, 0, 0, 1], "192.168.1.20"),
                entry(NeighbourState::Stale, &[2, 0, 0, 0, 0, 1], "fd00::20"),
            ]);
            let at = at % bytes.len();
            bytes[at] = to;
            bytes.truncate(bytes.len().saturating_sub(cut));
            let mut table = BTreeSet::new();
            let _ = take(&bytes, &mut table);
            prop_assert!(table.len() <= 2);
        }
    }
}
