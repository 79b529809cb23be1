//! What a broker sends, as the library reads it: for the fuzz target in `tests/fuzz`, and for the test that replays what
//! it found. A panic in the library would end the agent's only connection.

use bytes::BytesMut;
use rumqttc::mqttbytes::Error;
use rumqttc::mqttbytes::v4::Packet;

/// A function by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every function here.
pub const TARGETS: &[Target] = &[("mqtt_packets", mqtt_packets)];

/// As large as an agent takes.
const PACKET_MAX: usize = 256 << 10;

/// Packets of MQTT 3.1.1, one after the other, and the same bytes as packets of MQTT 5.
pub fn mqtt_packets(bytes: &[u8]) {
    let mut stream = BytesMut::from(bytes);
    loop {
        let before = stream.len();
        match Packet::read(&mut stream, PACKET_MAX) {
            Ok(_) => assert!(stream.len() < before),
            Err(Error::InsufficientBytes(more)) => {
                assert!(more > 0);
                break;
            }
            Err(_) => break,
        }
    }
    #[cfg(feature = "v5")]
    version_5(bytes);
}

#[cfg(feature = "v5")]
fn version_5(bytes: &[u8]) {
    use rumqttc::v5::mqttbytes::v5::Packet;

    let mut stream = BytesMut::from(bytes);
    loop {
        let before = stream.len();
        match Packet::read(&mut stream, u32::try_from(PACKET_MAX).ok()) {
            Ok(_) => assert!(stream.len() < before),
            Err(_) => break,
        }
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[test]
fn what_fuzzing_found_is_read() {
    replay::corpora(TARGETS);
}
