//! The text of opkg's package descriptions and indexes: `Field: value` lines, continued by lines that start with a space,
//! packages separated by empty lines.

use std::fmt::Write as _;

use crate::Problem;

/// Most bytes of one description.
pub const CONTROL_MAX: usize = 64 << 10;

/// The fields of one package, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    fields: Vec<(String, String)>,
}

impl Control {
    /// The value of a field, its lines joined by line breaks.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field that has to be there.
    pub fn require(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| Problem::new(format!("there is no field {name}")))
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds a field at the end; an empty value is left out.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push((name.to_owned(), value));
        }
    }

    /// Adds a field before another, or at the end where that is not there.
    pub fn insert_before(&mut self, other: &str, name: &str, value: impl Into<String>) {
        let index = self.fields.iter().position(|(field, _)| field == other).unwrap_or(self.fields.len());
        self.fields.insert(index, (name.to_owned(), value.into()));
    }

    /// Removes the fields that do not satisfy.
    pub fn retain(&mut self, satisfies: impl Fn(&str) -> bool) {
        self.fields.retain(|(name, _)| satisfies(name));
    }

    /// The text. A line of a value that would end the value, or the package, is refused.
    pub fn render(&self) -> Result<String, Problem> {
        let mut text = String::new();
        for (name, value) in &self.fields {
            check_field(name)?;
            if value.lines().any(|line| line.trim().is_empty())
                || value.chars().any(|c| c.is_control() && c != '\n')
            {
                return Err(Problem::new(format!("{name} has an empty line or a control character in it")));
            }
            let mut lines = value.lines();
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name}: {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(text, " {line}");
            }
        }
        Ok(text)
    }

    /// Reads one package's fields.
    pub fn parse(text: &str) -> Result<Control, Problem> {
        if text.len() > CONTROL_MAX {
            return Err(Problem::new(format!("it is over {CONTROL_MAX} bytes long")));
        }
        let mut control = Control::default();
        for (number, line) in (1..).zip(text.lines()) {
            let at = |problem: Problem| problem.at(format!("line {number}"));
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = control.fields.last_mut() else {
                    return Err(at(Problem::new("continues nothing")));
                };
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(at(Problem::new("has no colon")));
            };
            check_field(name).map_err(at)?;
            if control.get(name).is_some() {
                return Err(at(Problem::new(format!("{name} is there twice"))));
            }
            control.fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(control)
    }
}

fn check_field(name: &str) -> Result<(), Problem> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(());
    }
    Err(Problem::new(format!("{name:?} is no field")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_description_as_opkg_has_it() {
        let text = "Package: foo\nVersion: 1.2.3-r1\nDescription:  One line\n and another\n";
        let control = Control::parse(text).unwrap();
        assert_eq!(control.get("Description"), Some("One line\nand another"));
        assert_eq!(
            control.render().unwrap(),
            "Package: foo\nVersion: 1.2.3-r1\nDescription: One line\n and another\n"
        );
    }

    #[test]
    fn mistakes_name_their_line() {
        let error = |text| Control::parse(text).unwrap_err().to_string();
        assert_eq!(error("Package: foo\nVersion\n"), "line 2: has no colon");
        assert_eq!(error(" foo"), "line 1: continues nothing");
        assert_eq!(error("A: 1\nA: 2"), "line 2: A is there twice");
        assert_eq!(error("A b: 1"), "line 1: \"A b\" is no field");
    }

    proptest! {
        #[test]
        fn fields_come_back(fields in prop::collection::btree_map("[A-Z][a-z-]{0,9}", "[!-~]{1,9}( [!-~]{1,9}){0,3}(\n[!-~]{1,9}){0,2}", 0..8)) {
            let mut control = Control::default();
            for (name, value) in fields {
                control.push(&name, value);
            }
            prop_assert_eq!(Control::parse(&control.render().unwrap()).unwrap(), control);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(.|\n){0,200}") {
            let _ = Control::parse(&text);
        }
    }
}
