//! A simulated home: floors, walls, radios, people with phones, and the truth.
//!
//! [`World`] is the home over time, without sockets and clocks: advance it, and it says what the agents on its
//! access points would say, in the words of the contract, and where everybody really is. [`Fleet`] runs it against a
//! broker, for the demonstration.

mod access_point;
mod flat;
mod fleet;
mod house;
mod makes;
mod phone;
mod plan;
mod propagation;
mod random;
mod variants;
mod walker;
mod world;

pub use access_point::Output;
pub use fleet::{Companion, Fleet, FleetOptions, Lived, Step};
pub use plan::{AccessPoint, Incident, IncidentKind, Person, Phone, Plan, Point, Room};
pub use variants::Variant;
pub use walker::Truth;
pub use world::{Setting, World};
