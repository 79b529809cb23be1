//! The binary format of apk version 3, without apk: values (a payload of numbers, strings, objects and arrays that point
//! at each other) and the container around them (blocks, compression). Packages and indexes are built from both.

pub mod container;
pub mod value;
