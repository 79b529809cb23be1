//! What stands for TLS where it was not compiled in: the command line takes no `mqtts://`, so nothing comes here.

use whichroom_mqtt::Tls;

use crate::cli;

/// There is none.
pub(crate) struct Loaded {
    pub(crate) tls: Tls,
    pub(crate) warning: Option<String>,
}

/// Names the package that has it.
pub(crate) fn load(_: &cli::TlsOptions) -> Result<Loaded, String> {
    Err("--broker: mqtts:// is TLS: install the package whichroom-agent-tls".to_owned())
}
