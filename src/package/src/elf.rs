//! Whether a compiled program is what it has to be: of the right processor, static, stripped. A binary that needs a
//! loader which the router does not have fails there with "not found", and nobody knows what was not found.

use crate::Problem;
use crate::targets::Machine;

/// Program header of the loader a dynamic program asks for.
const PT_INTERP: u32 = 3;

/// Section of a symbol table, which strip removes.
const SHT_SYMTAB: u32 = 2;

/// Largest program that is packed, in bytes.
pub const PROGRAM_MAX: usize = 32 << 20;

/// Checks a program for a router.
pub fn check_static(program: &[u8], machine: Machine) -> Result<(), Problem> {
    let elf = Elf { bytes: program, machine };
    let wanted = [
        b"\x7fELF"[..].to_vec(),
        vec![if machine.wide { 2 } else { 1 }, if machine.big_endian { 2 } else { 1 }],
    ];
    if program.get(..6) != Some(&wanted.concat()[..]) || elf.half(18)? != machine.id {
        return Err(Problem::new("the program is not for this processor"));
    }
    // Offsets of the tables in the header, and of type and size in their entries.
    let (programs, sections, counts) = if machine.wide { (0x20, 0x28, 0x36) } else { (0x1c, 0x20, 0x2a) };
    let (program_size, program_count) = (elf.half(counts)?, elf.half(counts + 2)?);
    let (section_size, section_count) = (elf.half(counts + 4)?, elf.half(counts + 6)?);
    for index in 0..usize::from(program_count) {
        let entry = elf.address(programs)?.saturating_add(index * usize::from(program_size));
        if elf.word(entry)? == PT_INTERP {
            return Err(Problem::new("the program is not static: it asks for a loader"));
        }
    }
    for index in 0..usize::from(section_count) {
        let entry = elf.address(sections)?.saturating_add(index * usize::from(section_size));
        if elf.word(entry.saturating_add(4))? == SHT_SYMTAB {
            return Err(Problem::new("the program is not stripped: it still has a symbol table"));
        }
    }
    Ok(())
}

struct Elf<'a> {
    bytes: &'a [u8],
    machine: Machine,
}

impl Elf<'_> {
    fn number(&self, offset: usize, size: usize) -> Result<u64, Problem> {
        let bytes = offset.checked_add(size).and_then(|end| self.bytes.get(offset..end));
        let bytes = bytes.ok_or_else(|| Problem::new("the program is cut off"))?;
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Ok(if self.machine.big_endian {
            bytes.iter().fold(0, join)
        } else {
            bytes.iter().rev().fold(0, join)
        })
    }

    fn half(&self, offset: usize) -> Result<u16, Problem> {
        // Two bytes are a u16.
        Ok(u16::try_from(self.number(offset, 2)?).unwrap_or(u16::MAX))
    }

    fn word(&self, offset: usize) -> Result<u32, Problem> {
        // Four bytes are a u32.
        Ok(u32::try_from(self.number(offset, 4)?).unwrap_or(u32::MAX))
    }

    fn address(&self, offset: usize) -> Result<usize, Problem> {
        let address = self.number(offset, if self.machine.wide { 8 } else { 4 })?;
        usize::try_from(address).map_err(|_| Problem::new("the program is cut off"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::targets::{TARGETS, find};

    /// A big-endian 32-bit program with one program header and one section header of these types.
    pub(crate) fn mips_program(program_type: u8, section_type: u8) -> Vec<u8> {
        let mut elf = b"\x7fELF\x01\x02\x01".to_vec();
        elf.resize(52, 0);
        elf[19] = 8; // MIPS
        elf[0x1f] = 52; // program headers follow the header,
        elf[0x23] = 84; // sections follow them
        elf[0x2b] = 32;
        elf[0x2d] = 1;
        elf[0x2f] = 40;
        elf[0x31] = 1;
        elf.resize(124, 0);
        elf[52 + 3] = program_type;
        elf[84 + 7] = section_type;
        elf
    }

    #[test]
    fn a_program_is_static_stripped_and_of_its_processor() {
        let machine = |name| find(name).unwrap().machine;
        let reason =
            |program: &[u8], name| check_static(program, machine(name)).map_err(|why| why.to_string());
        assert_eq!(reason(&mips_program(1, 1), "mips"), Ok(()));
        assert_eq!(
            reason(&mips_program(1, 1), "mipsel").unwrap_err(),
            "the program is not for this processor"
        );
        assert!(reason(&mips_program(3, 1), "mips").unwrap_err().contains("asks for a loader"));
        assert!(reason(&mips_program(1, 2), "mips").unwrap_err().contains("not stripped"));
        assert!(reason(&mips_program(1, 1)[..90], "mips").unwrap_err().contains("cut off"));
        assert!(reason(b"#!/bin/sh\n", "mips").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), target in 0..TARGETS.len()) {
            let machine = TARGETS[target].machine;
            let _ = check_static(&bytes, machine);
            let header = [b"\x7fELF"[..].to_vec(), vec![if machine.wide { 2 } else { 1 }, if machine.big_endian { 2 } else { 1 }]].concat();
            let _ = check_static(&[header, bytes].concat(), machine);
        }
    }
}
