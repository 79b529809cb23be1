//! What the agent is compiled for, and the names OpenWrt has for the routers each binary runs on.

/// A Rust target the agent is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Short name on the command line.
    pub name: &'static str,
    /// Rust's name of it.
    pub triple: &'static str,
    /// OpenWrt's architectures it runs on. One package each: opkg and apk install nothing of another name.
    pub architectures: &'static [&'static str],
    /// What the binary has to be.
    pub machine: Machine,
    /// The program that runs it elsewhere, and the least processor it has to run on.
    pub emulator: Emulator,
    /// Flags of the compiler for this target alone.
    pub flags: &'static [&'static str],
    /// Most bytes of the stripped binary without TLS.
    pub size_max: u64,
}

/// Kind of processor, as an ELF file states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Number of the processor family.
    pub id: u16,
    /// Whether numbers stand with their most significant byte first.
    pub big_endian: bool,
    /// Whether addresses have 64 bits.
    pub wide: bool,
}

/// How qemu runs a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emulator {
    /// The program, without `-static`.
    pub program: &'static str,
    /// Its `-cpu`. A 24Kc has no floating point unit, as most routers with MIPS have none.
    pub cpu: &'static str,
}

/// Most bytes of an ipk or apk without TLS.
pub const PACKAGE_SIZE_MAX: u64 = 250_000;

/// Most bytes of the stripped binary with TLS.
pub const TLS_SIZE_MAX: u64 = 1_300_000;

/// Everything the agent is built for. Soft-float ARM (`arm_cortex-a9` of bcm53xx, `arm_cortex-a7` of mt7629) and MIPS
/// before release 2 (`mipsel_mips32`) are not among it: these binaries would die there of an illegal instruction.
pub const TARGETS: [Target; 5] = [
    Target {
        name: "aarch64",
        triple: "aarch64-unknown-linux-musl",
        architectures: &["aarch64_cortex-a53", "aarch64_cortex-a72", "aarch64_cortex-a76", "aarch64_generic"],
        machine: Machine { id: 183, big_endian: false, wide: true },
        emulator: Emulator { program: "qemu-aarch64", cpu: "cortex-a53" },
        flags: &[],
        size_max: 500_000,
    },
    Target {
        name: "armv7",
        triple: "armv7-unknown-linux-musleabihf",
        architectures: &[
            "arm_cortex-a5_vfpv4",
            "arm_cortex-a7_neon-vfpv4",
            "arm_cortex-a7_vfpv4",
            "arm_cortex-a8_vfpv3",
            "arm_cortex-a9_neon",
            "arm_cortex-a9_vfpv3-d16",
            "arm_cortex-a15_neon-vfpv4",
        ],
        machine: Machine { id: 40, big_endian: false, wide: false },
        // Those of the Marvell Armada and the Tegra 2 have no NEON.
        emulator: Emulator { program: "qemu-arm", cpu: "cortex-a9,neon=off" },
        // The short instructions, which every processor of this version has: a quarter smaller.
        flags: &["-Ctarget-feature=+thumb-mode"],
        size_max: 400_000,
    },
    Target {
        name: "mipsel",
        triple: "mipsel-unknown-linux-musl",
        architectures: &["mipsel_24kc", "mipsel_24kc_24kf", "mipsel_74kc"],
        machine: Machine { id: 8, big_endian: false, wide: false },
        emulator: Emulator { program: "qemu-mipsel", cpu: "24Kc" },
        flags: &[],
        size_max: 600_000,
    },
    Target {
        name: "mips",
        triple: "mips-unknown-linux-musl",
        architectures: &["mips_24kc"],
        machine: Machine { id: 8, big_endian: true, wide: false },
        emulator: Emulator { program: "qemu-mips", cpu: "24Kc" },
        flags: &[],
        size_max: 600_000,
    },
    Target {
        name: "x86_64",
        triple: "x86_64-unknown-linux-musl",
        architectures: &["x86_64"],
        machine: Machine { id: 62, big_endian: false, wide: true },
        emulator: Emulator { program: "qemu-x86_64", cpu: "qemu64" },
        flags: &[],
        size_max: 600_000,
    },
];

/// The target of a name: its short one, Rust's, or an architecture of OpenWrt.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS
        .iter()
        .find(|target| target.name == name || target.triple == name || target.architectures.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::version::check_architecture;

    #[test]
    fn every_name_means_one_target() {
        let mut names = BTreeSet::new();
        for target in &TARGETS {
            for name in [target.name, target.triple].iter().chain(target.architectures) {
                assert_eq!(find(name), Some(target));
                names.insert(*name);
            }
            for architecture in target.architectures {
                assert_eq!(check_architecture(architecture), Ok(()));
            }
        }
        // x86_64 is both a short name and an architecture.
        let total: usize = TARGETS.iter().map(|target| 2 + target.architectures.len()).sum();
        assert_eq!(names.len(), total - 1);
        assert_eq!(find("arm_cortex-a9"), None, "it has no floating point unit");
    }
}
