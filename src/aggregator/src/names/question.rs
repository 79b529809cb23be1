//! The bytes of a reverse question (PTR) and of its answer. Pure; `resolver.rs` sends and receives them. Whoever answers
//! is believed no more than a device that gives its own name: one short label of plain letters is kept.

use std::net::IpAddr;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// Longest label that DNS allows.
const LABEL_MAX: usize = 63;

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A host name, without its domain.
    Name(String),
    /// There is none, or none that can be used. dnsmasq refuses what it does not know while it can ask nobody itself.
    Nameless,
}

/// A question for the name of `address`.
pub fn question(id: u16, address: IpAddr) -> Option<Vec<u8>> {
    let name = reverse(address);
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let (qtype, qclass) = (QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN));
    packet.questions.push(Question::new(Name::new(&name).ok()?, qtype, qclass, false));
    packet.build_bytes_vec().ok()
}

/// The answer in a packet; `None` if it is not one to this question.
pub fn answer(id: u16, address: IpAddr, packet: &[u8]) -> Option<Answer> {
    let packet = Packet::parse(packet).ok()?;
    let name = reverse(address);
    let name = Name::new(&name).ok()?;
    let asked = packet.questions.first()?;
    let is_ours = packet.has_flags(PacketFlag::RESPONSE) && packet.id() == id && asked.qname == name;
    if !is_ours {
        return None;
    }
    let named = found(&packet, &name, address).filter(|_| packet.rcode() == RCODE::NoError);
    Some(named.map_or(Answer::Nameless, Answer::Name))
}

fn found(packet: &Packet<'_>, name: &Name<'_>, address: IpAddr) -> Option<String> {
    let ours = packet.answers.iter().filter(|record| record.name == *name);
    let pointers = ours.filter_map(|record| {
        let RData::PTR(pointer) = &record.rdata else { return None };
        Some(&pointer.0)
    });
    pointers.filter_map(|pointer| host(pointer, address)).next()
}

/// A host's own label. Some routers make one of the address where they know nothing: that is no name.
fn host(name: &Name<'_>, address: IpAddr) -> Option<String> {
    let label = name.get_labels().first()?.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_name = (1..=LABEL_MAX).contains(&label.len()) && label.chars().all(is_plain);
    (is_name && !is_made_of(&label, address)).then_some(label)
}

/// `192-168-1-20`, `ip-192-168-1-20`, `192`.
fn is_made_of(label: &str, address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    let is_number = label.chars().all(|c| c.is_ascii_digit());
    is_number || label.contains(&address.to_string().replace('.', "-"))
}

/// The name that stands for an address, as RFC 1035 and RFC 3596 say.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
            let nibbles: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            format!("{nibbles}ip6.arpa")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::PTR;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// What a name server sends back when `names` are its pointers.
    fn reply(id: u16, address: IpAddr, names: &[&str], rcode: RCODE) -> Vec<u8> {
        let own = reverse(address);
        let mut packet = Packet::new_reply(id);
        *packet.rcode_mut() = rcode;
        let (qtype, qclass) = (QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN));
        packet.questions.push(Question::new(Name::new(&own).unwrap(), qtype, qclass, false));
        for name in names {
            let pointer = RData::PTR(PTR(Name::new(name).unwrap()));
            let record = ResourceRecord::new(Name::new(&own).unwrap(), CLASS::IN, 0, pointer);
            packet.answers.push(record);
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn name(text: &str) -> Option<Answer> {
        Some(Answer::Name(text.to_owned()))
    }

    #[test]
    fn the_question_is_what_every_name_server_reads() {
        let bytes = question(0x1234, ip("192.168.1.20")).unwrap();
        let expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0220\x011\x03168\x03192\x07in-addr\x04arpa\x00\x00\x0c\x00\x01";
        assert_eq!(bytes, expected);
        assert_eq!(
            reverse(ip("fd00::1234:0:2")),
            "2.0.0.0.0.0.0.0.4.3.2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa"
        );
    }

    #[test]
    fn a_name_comes_without_its_domain() {
        for address in [ip("192.168.1.20"), ip("fd00::5")] {
            let bytes = reply(7, address, &["Annas-iPhone.lan"], RCODE::NoError);
            assert_eq!(answer(7, address, &bytes), name("Annas-iPhone"));
        }
    }

    #[test]
    fn what_is_no_answer_to_this_question_is_not_read() {
        let address = ip("192.168.1.20");
        let bytes = reply(7, address, &["phone.lan"], RCODE::NoError);
        assert_eq!(answer(8, address, &bytes), None);
        assert_eq!(answer(7, ip("192.168.1.21"), &bytes), None);
        let own = question(7, address).unwrap();
        assert_eq!(answer(7, address, &own), None, "a question is no answer");
    }

    #[test]
    fn nobody_knows_it_or_nobody_says() {
        let address = ip("192.168.1.20");
        let answered = |rcode, names: &[&str]| answer(7, address, &reply(7, address, names, rcode));
        assert_eq!(answered(RCODE::NameError, &[]), Some(Answer::Nameless));
        assert_eq!(answered(RCODE::NoError, &[]), Some(Answer::Nameless));
        assert_eq!(answered(RCODE::Refused, &[]), Some(Answer::Nameless));
        assert_eq!(answered(RCODE::ServerFailure, &["x.lan"]), Some(Answer::Nameless));
    }

    #[test]
    fn a_name_made_of_the_address_is_none_and_the_next_one_counts() {
        let address = ip("192.168.1.20");
        let answered = |names: &[&str]| answer(7, address, &reply(7, address, names, RCODE::NoError));
        assert_eq!(answered(&["ip-192-168-1-20.lan"]), Some(Answer::Nameless));
        assert_eq!(answered(&["20.lan"]), Some(Answer::Nameless));
        assert_eq!(answered(&["192-168-1-20.lan", "tv.lan"]), name("tv"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_no_name_is_more_than_a_label(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let _ = answer(7, ip("192.168.1.20"), &bytes);
        }

        #[test]
        fn damaged_answers_do_no_harm(
            at in 0..60_usize, to in any::<u8>(), cut in 0..80_usize, v6 in any::<bool>(),
        ) {
            let address = if v6 { ip("fd00::5") } else { ip("192.168.1.20") };
            let mut bytes = reply(7, address, &["Annas-iPhone.lan", "second.lan"], RCODE::NoError);
            let at = at % bytes.len();
            bytes[at] = to;
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Some(Answer::Name(name)) = answer(7, address, &bytes) {
                prop_assert!(!name.is_empty() && name.len() <= LABEL_MAX);
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{}", name);
            }
        }
    }
}
