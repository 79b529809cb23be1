//! Makes an unknown address somebody's, in the configuration's text: comments, order and spelling of everything else
//! stay. The page asks for it; what would not be a usable configuration is not written.

use std::path::Path;

use serde::Deserialize;
use toml_edit::{
    Array, ArrayOfTables, Decor, DocumentMut, InlineTable, Item, Table, TableLike, Value, value,
};
use whichroom_presence::setup::{DeviceSetup, Setup};
use whichroom_wire::{Id, Mac};

use super::{Loaded, load, parse, read};
use crate::state::replace;

/// Longest name that is taken, in bytes.
const NAME_MAX: usize = 64;

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Adoption {
    /// The address.
    pub mac: Mac,
    /// What the device is called; its owner's phone if none is given.
    #[serde(default)]
    pub name: Option<String>,
    /// Whose it is.
    pub owner: Owner,
}

/// See [`Adoption`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Somebody the configuration names.
    Person(Id),
    /// Somebody new, by name.
    NewPerson(String),
    /// A device the configuration names: the same phone on another network.
    Device(Id),
    /// Nobody: a device with a name.
    Nobody,
}

/// Writes an adoption into `file`, and reads it again. Errors are words.
pub fn adopt_in(file: &Path, adoption: &Adoption) -> Result<Loaded, String> {
    let text = read(file).map_err(|why| format!("{} {why}", file.display()))?;
    let fresh = adopted(&text, file.parent().unwrap_or(Path::new(".")), adoption)?;
    replace(file, fresh.as_bytes()).map_err(|error| {
        format!(
            "{} cannot be written ({error}); write it there yourself, or give the service the right to",
            file.display()
        )
    })?;
    load(Some(file)).map_err(|error| error.to_string())
}

/// The text with the address in it.
pub(crate) fn adopted(text: &str, directory: &Path, adoption: &Adoption) -> Result<String, String> {
    let setup = usable(text, directory)?;
    if let Some(owner) = devices(&setup).find(|device| device.macs.contains(&adoption.mac)) {
        return Err(format!("{} is {}'s already", adoption.mac, owner.name));
    }
    let name = adoption.name.as_deref().map(checked).transpose()?;
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    match &adoption.owner {
        Owner::NewPerson(person) => add_person(&mut document, &checked(person)?, adoption.mac, name),
        Owner::Person(id) => add_device(&mut document, &setup, id, adoption.mac, name)?,
        Owner::Device(id) => add_mac(&mut document, &setup, id, adoption.mac)?,
        Owner::Nobody => {
            let name = name.ok_or("a device that is nobody's needs a name")?;
            tables(&mut document, "device")?.push(device_table(adoption.mac, Some(name)));
        }
    }
    let fresh = document.to_string();
    usable(&fresh, directory)?;
    Ok(fresh)
}

fn usable(text: &str, directory: &Path) -> Result<Setup, String> {
    let (config, remarks) = parse(text, directory);
    config.map(|config| config.setup).ok_or_else(|| {
        let first = remarks.first().map(|remark| remark.text.clone()).unwrap_or_default();
        format!("the configuration is not usable: {first}; see whichroom check")
    })
}

fn devices(setup: &Setup) -> impl Iterator<Item = &DeviceSetup> {
    setup.people.iter().flat_map(|person| &person.devices).chain(&setup.devices)
}

/// A name of one line that is not absurdly long.
fn checked(name: &str) -> Result<String, String> {
    let name = name.trim();
    let is_fine = !name.is_empty() && name.len() <= NAME_MAX && !name.chars().any(char::is_control);
    is_fine.then(|| name.to_owned()).ok_or_else(|| format!("a name has 1 to {NAME_MAX} bytes in one line"))
}

fn add_person(document: &mut DocumentMut, person: &str, mac: Mac, name: Option<String>) {
    let mut table = Table::new();
    table.insert("name", value(person));
    table.insert("devices", value(Array::from_iter([device_inline(mac, name)])));
    if let Ok(people) = tables(document, "person") {
        people.push(table);
    }
}

/// The array of tables of a name, new if there is none.
fn tables<'d>(document: &'d mut DocumentMut, name: &str) -> Result<&'d mut ArrayOfTables, String> {
    let item = document.entry(name).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or_else(|| {
        format!("{name} is not written as [[{name}]], and nothing can be added to it here; add it yourself")
    })
}

fn device_table(mac: Mac, name: Option<String>) -> Table {
    let mut table = Table::new();
    if let Some(name) = name {
        table.insert("name", value(name));
    }
    table.insert("macs", value(Array::from_iter([mac.to_string()])));
    table
}

fn device_inline(mac: Mac, name: Option<String>) -> InlineTable {
    device_table(mac, name).into_inline_table()
}

fn add_device(
    document: &mut DocumentMut,
    setup: &Setup,
    person: &Id,
    mac: Mac,
    name: Option<String>,
) -> Result<(), String> {
    let position = setup.people.iter().position(|known| known.id == *person);
    let position =
        position.ok_or_else(|| unknown("person", person, setup.people.iter().map(|known| &known.id)))?;
    let table =
        tables(document, "person")?.get_mut(position).ok_or("that person is not written as [[person]]")?;
    let devices = table.entry("devices").or_insert_with(|| value(Array::new()));
    match devices {
        Item::Value(Value::Array(array)) => {
            push(array, Value::InlineTable(device_inline(mac, name)));
            Ok(())
        }
        Item::ArrayOfTables(tables) => {
            tables.push(device_table(mac, name));
            Ok(())
        }
        Item::None | Item::Table(_) | Item::Value(_) => Err("devices of that person are no array".to_owned()),
    }
}

/// Adds an element at the end. In an array of several lines it gets a line of its own, after the last one's comment.
fn push(array: &mut Array, mut element: Value) {
    let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
    if !array.trailing_comma() || !trailing.contains('\n') {
        return array.push(element);
    }
    let first = array.get(0).and_then(|first| first.decor().prefix()).and_then(|prefix| prefix.as_str());
    let indent = first.and_then(|prefix| prefix.rsplit('\n').next()).unwrap_or("  ");
    *element.decor_mut() = Decor::new(format!("{}\n{indent}", trailing.trim_end()), "");
    array.push_formatted(element);
    array.set_trailing("\n");
}

/// Another address of a device that has some.
fn add_mac(document: &mut DocumentMut, setup: &Setup, device: &Id, mac: Mac) -> Result<(), String> {
    let known = devices(setup).find(|known| known.id == *device);
    let known = known.ok_or_else(|| unknown("device", device, devices(setup).map(|known| &known.id)))?;
    let first = *known.macs.first().ok_or("that device has no address")?;
    let is_added = each_device(document, &mut |entry| add_beside(entry, first, mac));
    is_added.then_some(()).ok_or_else(|| format!("{} is not written in a way this can add to", known.name))
}

/// A device as it is written.
enum Written<'d> {
    Plain(&'d mut Value),
    Table(&'d mut dyn TableLike),
}

/// Shows every device of the document until `see` has done something.
fn each_device(document: &mut DocumentMut, see: &mut dyn FnMut(Written<'_>) -> bool) -> bool {
    let people = document.get_mut("person").and_then(Item::as_array_of_tables_mut);
    for person in people.into_iter().flat_map(ArrayOfTables::iter_mut) {
        let seen = match person.get_mut("devices") {
            Some(Item::Value(Value::Array(array))) => array.iter_mut().any(|element| {
                if let Value::InlineTable(table) = element {
                    return see(Written::Table(table));
                }
                see(Written::Plain(element))
            }),
            Some(Item::ArrayOfTables(tables)) => tables.iter_mut().any(|table| see(Written::Table(table))),
            Some(Item::None | Item::Table(_) | Item::Value(_)) | None => false,
        };
        if seen {
            return true;
        }
    }
    let loose = document.get_mut("device").and_then(Item::as_array_of_tables_mut);
    loose.into_iter().flat_map(ArrayOfTables::iter_mut).any(|table| see(Written::Table(table)))
}

/// Adds `mac` where `first` is; false if it is not there.
fn add_beside(written: Written<'_>, first: Mac, mac: Mac) -> bool {
    let is_first = |value: &Value| value.as_str().and_then(|text| text.parse().ok()) == Some(first);
    match written {
        Written::Plain(plain) => {
            let is_it = is_first(plain);
            if is_it {
                let mut table = InlineTable::new();
                table.insert("macs", Array::from_iter([first.to_string(), mac.to_string()]).into());
                let decor = plain.decor().clone();
                *plain = Value::InlineTable(table);
                *plain.decor_mut() = decor;
            }
            is_it
        }
        Written::Table(table) => {
            let macs = table.get_mut("macs").and_then(Item::as_array_mut);
            let macs = macs.filter(|macs| macs.iter().any(is_first));
            macs.map(|macs| macs.push(mac.to_string())).is_some()
        }
    }
}

fn unknown<'a>(what: &str, id: &Id, known: impl Iterator<Item = &'a Id>) -> String {
    let known: Vec<&str> = known.map(Id::as_str).collect();
    format!("there is no {what} \"{id}\"; known: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOME: &str = r#"# Our home.
[[person]]
name = "Anna" # the elder
devices = [
  "02:00:00:00:00:01", # her phone
]

[[person]]
name = "Ben"
  [[person.devices]]
  name = "Ben's tablet"
  macs = ["02:00:00:00:00:02"]

[[device]]
name = "Printer"
macs = ["02:00:00:00:00:03"]
"#;

    fn mac(text: &str) -> Mac {
        text.parse().unwrap()
    }

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn adoption(owner: Owner, name: Option<&str>) -> Adoption {
        Adoption { mac: mac("02:00:00:00:00:09"), name: name.map(str::to_owned), owner }
    }

    fn after(owner: Owner, name: Option<&str>) -> Result<(String, Setup), String> {
        let text = adopted(HOME, Path::new("/nonexistent"), &adoption(owner, name))?;
        let setup = usable(&text, Path::new("/nonexistent"))?;
        Ok((text, setup))
    }

    #[test]
    fn everything_else_of_the_file_stays_as_it_is() {
        let owners = [
            Owner::Person(id("anna")),
            Owner::Person(id("ben")),
            Owner::NewPerson("Mrs Muster".to_owned()),
            Owner::Device(id("anna")),
            Owner::Nobody,
        ];
        for owner in owners {
            let (text, _) = after(owner.clone(), Some("New")).unwrap();
            let missing: Vec<&str> = HOME
                .lines()
                .filter(|line| !text.lines().any(|kept| kept == *line))
                .filter(|line| !(line.contains("00:01") && owner == Owner::Device(id("anna"))))
                .collect();
            assert!(missing.is_empty(), "{owner:?}: {missing:?} in\n{text}");
            assert!(text.contains("# her phone") && text.contains("# the elder"), "{text}");
        }
    }

    #[test]
    fn the_housekeepers_phone() {
        let (_, setup) = after(Owner::NewPerson("Mrs Muster".to_owned()), None).unwrap();
        let person = setup.people.last().unwrap();
        assert_eq!(person.name, "Mrs Muster");
        assert_eq!(person.devices[0].macs, [mac("02:00:00:00:00:09")]);
    }

    #[test]
    fn the_same_phone_as() {
        let (_, setup) = after(Owner::Device(id("anna")), None).unwrap();
        assert_eq!(setup.people[0].devices.len(), 1);
        assert_eq!(setup.people[0].devices[0].id, id("anna"), "the device is the one it was");
        assert_eq!(setup.people[0].devices[0].macs, [mac("02:00:00:00:00:01"), mac("02:00:00:00:00:09")]);
        let tablet = usable(HOME, Path::new("/")).unwrap().people[1].devices[0].id.clone();
        let (_, setup) = after(Owner::Device(tablet), None).unwrap();
        assert_eq!(setup.people[1].devices[0].macs.len(), 2);
    }

    #[test]
    fn one_more_device_of_somebody() {
        for (person, position) in [("anna", 0), ("ben", 1)] {
            let (_, setup) = after(Owner::Person(id(person)), Some("Watch")).unwrap();
            let devices = &setup.people[position].devices;
            assert_eq!(devices.len(), 2);
            assert_eq!(devices[1].name, "Watch");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let refused = |owner, name| after(owner, name).unwrap_err();
        assert!(refused(Owner::Person(id("zoe")), None).contains("known: anna, ben"));
        assert!(refused(Owner::Nobody, None).contains("needs a name"));
        assert!(refused(Owner::NewPerson("\n".to_owned()), None).contains("1 to 64"));
        let known = Adoption { mac: mac("02:00:00:00:00:01"), ..adoption(Owner::Nobody, Some("X")) };
        assert!(adopted(HOME, Path::new("/"), &known).unwrap_err().contains("already"));
        let broken = adopted("nonsense = 1", Path::new("/"), &adoption(Owner::Nobody, Some("X")));
        assert!(broken.unwrap_err().contains("not usable"));
    }

    #[test]
    fn the_file_keeps_its_rights_and_is_read_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("whichroom.toml");
        fs::write(&file, HOME).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let loaded = adopt_in(&file, &adoption(Owner::Person(id("anna")), None)).unwrap();
        assert_eq!(loaded.config.setup.people[0].devices.len(), 2);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }

    proptest::proptest! {
        #[test]
        fn names_of_any_kind_leave_a_usable_file(name in "\\PC{1,20}") {
            if let Ok((_, setup)) = after(Owner::NewPerson(name.clone()), Some(&name)) {
                proptest::prop_assert_eq!(setup.people.len(), 3);
            }
        }
    }
}
