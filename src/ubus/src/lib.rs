//! blobmsg codec and client of OpenWrt's ubus, without libubus and without dependencies.
//!
//! [`blobmsg`] and [`message`] are the bytes, [`Session`] is the protocol without a socket, [`Connection`] is the
//! socket: a thread that always reads, answers what wants an answer at once and hands on the rest.

pub mod blobmsg;
pub mod message;

mod blob;
mod connection;
mod session;

pub use connection::{Connection, Delivery, PATHS, connect};
pub use session::{Data, Event, Failure, Notification, Object, Reply, Session, Status};
