//! What stands for TLS where it was not compiled in.

/// TLS, of which there is none without the feature `tls`.
#[derive(Debug, Clone)]
pub enum Tls {}
