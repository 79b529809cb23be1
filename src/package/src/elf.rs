//! A compiled program: checked to be what it has to be (of the right processor, static, stripped), and cut to what a router
//! loads. A binary that needs a loader which the router does not have fails there with "not found", and nobody knows what
//! was not found.

use crate::Problem;
use crate::targets::Machine;

/// Program header of what is loaded.
const PT_LOAD: u32 = 1;

/// Program header of the loader a dynamic program asks for.
const PT_INTERP: u32 = 3;

/// Section of a symbol table, which strip removes.
const SHT_SYMTAB: u32 = 2;

/// Largest program that is packed, in bytes.
pub const PROGRAM_MAX: usize = 32 << 20;

/// Where the header of a program has its fields; 32 and 64 bits differ.
struct Fields {
    /// Offset of the table of program headers, and in each of them offset and size of what is loaded.
    programs: usize,
    program_offset: usize,
    program_size: usize,
    /// Offset of the table of sections.
    sections: usize,
    /// Sizes of an entry and numbers of entries of both tables, two bytes each.
    counts: usize,
}

const NARROW: Fields =
    Fields { programs: 0x1c, program_offset: 4, program_size: 16, sections: 0x20, counts: 0x2a };
const WIDE: Fields =
    Fields { programs: 0x20, program_offset: 8, program_size: 0x20, sections: 0x28, counts: 0x36 };

/// Checks a program for a router and cuts off what nothing loads: the table of sections, and sections that strip leaves
/// behind. On MIPS `.pdr`, which only debuggers of old read, is a seventh of the file.
pub fn prepare(mut program: Vec<u8>, machine: Machine) -> Result<Vec<u8>, Problem> {
    let elf = Elf { bytes: &program, machine };
    let fields = if machine.wide { &WIDE } else { &NARROW };
    let class = [b"\x7fELF"[..].to_vec(), vec![1 + u8::from(machine.wide), 1 + u8::from(machine.big_endian)]]
        .concat();
    if program.get(..class.len()) != Some(&class[..]) || elf.half(18)? != machine.id {
        return Err(Problem::new("the program is not for this processor"));
    }
    let mut loaded_end = fields.counts + 10;
    for entry in elf.table(fields.programs, fields.counts)? {
        match elf.word(entry)? {
            PT_INTERP => return Err(Problem::new("the program is not static: it asks for a loader")),
            PT_LOAD => {}
            // The others describe parts of what is loaded.
            _ => continue,
        }
        let end = elf
            .address(entry + fields.program_offset)?
            .saturating_add(elf.address(entry + fields.program_size)?);
        loaded_end = loaded_end.max(end);
    }
    for entry in elf.table(fields.sections, fields.counts + 4)? {
        if elf.word(entry + 4)? == SHT_SYMTAB {
            return Err(Problem::new("the program is not stripped: it still has a symbol table"));
        }
    }
    if loaded_end > program.len() {
        return Err(cut_off());
    }
    program.truncate(loaded_end);
    let address = if machine.wide { 8 } else { 4 };
    program[fields.sections..fields.sections + address].fill(0);
    // Size and number of sections, and which of them has the names.
    program[fields.counts + 4..fields.counts + 10].fill(0);
    Ok(program)
}

fn cut_off() -> Problem {
    Problem::new("the program is cut off")
}

struct Elf<'a> {
    bytes: &'a [u8],
    machine: Machine,
}

impl Elf<'_> {
    fn number(&self, offset: usize, size: usize) -> Result<u64, Problem> {
        let bytes = offset.checked_add(size).and_then(|end| self.bytes.get(offset..end));
        let bytes = bytes.ok_or_else(cut_off)?;
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
        // Such a file would not fit into memory.
        usize::try_from(address).ok().filter(|address| *address < PROGRAM_MAX).ok_or_else(cut_off)
    }

    /// Where the entries of a table are, from the fields of its offset and of its entries' size and number.
    fn table(&self, offset: usize, counts: usize) -> Result<impl Iterator<Item = usize> + use<>, Problem> {
        let (start, size) = (self.address(offset)?, usize::from(self.half(counts)?));
        Ok((0..usize::from(self.half(counts + 2)?)).map(move |index| start + index * size))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::targets::{TARGETS, find};

    /// A big-endian 32-bit program of one segment and one section of these types.
    fn mips_program(segment: u8, section: u8) -> Vec<u8> {
        let mut elf = b"\x7fELF\x01\x02\x01".to_vec();
        elf.resize(128, 0);
        elf[19] = 8; // MIPS
        elf[0x1f] = 52; // the segment's header follows this one,
        elf[0x23] = 88; // the section's comes last
        elf[0x2b] = 32;
        elf[0x2d] = 1;
        elf[0x2f] = 40;
        elf[0x31] = 1;
        elf[52 + 3] = segment;
        elf[52 + 7] = 84;
        elf[52 + 19] = 4;
        elf[84..88].copy_from_slice(b"code");
        elf[88 + 7] = section;
        elf
    }

    #[test]
    fn a_program_is_static_stripped_and_of_its_processor() {
        let reason = |program: &[u8], name| {
            prepare(program.to_vec(), find(name).unwrap().machine).map(|_| ()).map_err(|why| why.to_string())
        };
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

    #[test]
    fn only_what_is_loaded_is_left() {
        let machine = find("mips").unwrap().machine;
        let whole = mips_program(1, 1);
        let cut = prepare(whole.clone(), machine).unwrap();
        assert_eq!(cut.len(), 88, "52 bytes of header, 32 of the segment's, 4 loaded");
        assert_eq!(cut[84..], *b"code");
        assert_eq!(cut[0x20..0x24], [0; 4], "no table of sections");
        assert_eq!(cut[0x2e..0x34], [0; 6]);
        assert_eq!(prepare(cut.clone(), machine), Ok(cut), "once is enough");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), target in 0..TARGETS.len()) {
            let machine = TARGETS[target].machine;
            let class = [1 + u8::from(machine.wide), 1 + u8::from(machine.big_endian)];
            let header = [&b"\x7fELF"[..], &class, &bytes].concat();
            let _ = (prepare(bytes, machine), prepare(header, machine));
        }
    }
}
