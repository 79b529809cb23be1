//! The index of an apk feed, `packages.adb`: what its packages say of themselves, their hashes and sizes, signed.

use sha2::{Digest as _, Sha256};

use crate::Problem;
use crate::adb::container::{self, Block, BlockKind, Schema, Wrapping};
use crate::adb::value::{Reader, Value, Writer};
use crate::apk::{self, Info};
use crate::apk_sign::{self, KeyId, PrivateKey, PublicKey};
use crate::tree::ENTRIES_MAX;

/// One package of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// What it says of itself.
    pub info: Info,
    /// SHA-256 of its payload.
    pub payload_hash: [u8; 32],
    /// Bytes of the file, which stands beside the index as `<name>-<version>.apk`.
    pub file_size: u64,
}

impl IndexEntry {
    /// The entry of a package file, which is checked on the way.
    pub fn of(file: &[u8]) -> Result<IndexEntry, Problem> {
        let read = apk::read(file)?;
        Ok(IndexEntry { info: read.apk.info, payload_hash: read.payload_hash, file_size: file.len() as u64 })
    }

    /// The name the file has to have.
    pub fn file_name(&self) -> String {
        format!("{}-{}.apk", self.info.name, self.info.version)
    }
}

/// Writes an index of these packages, sorted by name and version, and signs it.
pub fn write(entries: &[IndexEntry], key: &PrivateKey, wrapping: Wrapping) -> Result<Vec<u8>, Problem> {
    let mut sorted: Vec<&IndexEntry> = entries.iter().collect();
    sorted.sort_by_key(|entry| (&entry.info.name, &entry.info.version));
    let mut writer = Writer::default();
    let packages: Vec<Value> = sorted
        .into_iter()
        .map(|entry| {
            let mut fields = apk::info_fields(&mut writer, &entry.info);
            fields[2] = writer.blob(&entry.payload_hash);
            fields[12] = writer.int(entry.file_size);
            writer.object(&fields)
        })
        .collect();
    let packages = writer.object(&packages);
    let root = writer.object(&[Value::NULL, packages]);
    let payload = writer.finish(root)?;
    let signature = key.sign(Schema::Index, &payload)?;
    let blocks = [Block::new(BlockKind::Adb, payload), Block::new(BlockKind::Signature, signature)];
    container::write(Schema::Index, &blocks, wrapping)
}

/// An index that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its packages.
    pub entries: Vec<IndexEntry>,
    /// Ids of the keys that signed it.
    pub signed_by: Vec<KeyId>,
}

/// Reads an index. With a key, its signature is checked; without, it is only named.
pub fn read(file: &[u8], key: Option<&PublicKey>) -> Result<Index, Problem> {
    let file = container::unwrap(file)?;
    let (schema, blocks) = container::split(&file)?;
    if schema != Schema::Index {
        return Err(Problem::new("it is a package, not the index of a feed"));
    }
    let [Block { kind: BlockKind::Adb, bytes: payload }, blocks @ ..] = &blocks[..] else {
        return Err(Problem::new("the first block is not the index"));
    };
    let mut signed_by = Vec::new();
    let mut verified = Err(Problem::new("it is not signed"));
    for block in blocks {
        if block.kind != BlockKind::Signature {
            return Err(Problem::new("there is a block that does not belong into an index"));
        }
        signed_by.push(apk_sign::key_id(&block.bytes)?);
        if let Some(key) = key {
            verified = verified.or_else(|_| key.verify(schema, payload, &block.bytes));
        }
    }
    if key.is_some() {
        verified?;
    }
    let (reader, root) = Reader::new(payload)?;
    let packages = root.object(2)?;
    if packages.elements().count() > ENTRIES_MAX {
        return Err(Problem::new(format!("more than {ENTRIES_MAX} packages")));
    }
    let entries = packages.elements().map(|value| entry(reader, value)).collect::<Result<_, _>>()?;
    Ok(Index { entries, signed_by })
}

fn entry(reader: Reader<'_>, value: Value) -> Result<IndexEntry, Problem> {
    let object = reader.object(value)?;
    let info = apk::read_info(reader, object)?;
    let hash = <[u8; 32]>::try_from(object.blob(3)?)
        .map_err(|_| Problem::new(format!("{}: its hash is no SHA-256", info.name)))?;
    Ok(IndexEntry { info, payload_hash: hash, file_size: object.int(13)? })
}

/// Checks a package file against its entry.
pub fn check_file(entry: &IndexEntry, file: &[u8]) -> Result<(), Problem> {
    let found = IndexEntry::of(file)?;
    if found.file_size != entry.file_size || found.payload_hash != entry.payload_hash {
        return Err(Problem::new(format!(
            "{}: the file is another one than the index lists (SHA-256 {} of {} bytes)",
            entry.file_name(),
            crate::Hex(&Sha256::digest(file)),
            file.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::apk::Dependency;

    fn any_entry() -> impl Strategy<Value = IndexEntry> {
        ("[a-z]{1,8}", "[0-9]{1,3}(-r[0-9])?", ".{0,40}", 1..1u64 << 33, any::<[u8; 32]>(), any::<u64>())
            .prop_map(|(name, version, description, installed_size, payload_hash, file_size)| {
                let architecture = "mips_24kc".to_owned();
                let provides = vec![Dependency::exactly("x", "1"), Dependency::conflict("y")];
                let info = Info {
                    name,
                    version,
                    description,
                    architecture,
                    installed_size,
                    provides,
                    ..Info::default()
                };
                IndexEntry { info, payload_hash, file_size }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn indexes_come_back_sorted(mut entries in prop::collection::vec(any_entry(), 0..6), deflate in any::<bool>()) {
            let key = PrivateKey::generate().unwrap();
            let wrapping = if deflate { Wrapping::Deflate } else { Wrapping::None };
            let file = write(&entries, &key, wrapping).unwrap();
            let index = read(&file, Some(&key.public())).unwrap();
            entries.sort_by_key(|entry| (entry.info.name.clone(), entry.info.version.clone()));
            prop_assert_eq!(index.entries, entries);
            prop_assert_eq!(index.signed_by, [key.public().id()]);
        }

        #[test]
        fn changed_bytes_are_read_without_a_panic(entry in any_entry(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let key = PrivateKey::generate().unwrap();
            let mut file = write(&[entry], &key, Wrapping::None).unwrap();
            for (index, byte) in changes {
                let place = index.index(file.len());
                file[place] = byte;
            }
            let _ = (read(&file, None), read(&file, Some(&key.public())));
        }
    }
}
