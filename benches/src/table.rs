//! Tables for people: columns as wide as they need to be.

/// A table under construction.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    text: usize,
}

impl Table {
    /// A table with a head; its first column is text, all others are numbers.
    pub(crate) fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(|&title| title.to_owned()).collect()], text: 1 }
    }

    /// How many columns from the left are text.
    pub(crate) fn text_columns(mut self, count: usize) -> Table {
        self.text = count;
        self
    }

    /// Adds a row of as many cells.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text, in the form that Markdown reads as a table too.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let widths = self.widths();
        for (index, row) in self.rows.iter().enumerate() {
            text.push('|');
            for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let cell =
                    if at < self.text { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") };
                text.push_str(&cell);
            }
            text.push('\n');
            if index == 0 {
                text.push_str(&self.rule(&widths));
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.first().map_or(0, Vec::len);
        (0..columns)
            .map(|at| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect()
    }

    fn rule(&self, widths: &[usize]) -> String {
        let mut text = "|".to_owned();
        for (at, &width) in widths.iter().enumerate() {
            text.push_str(&"-".repeat(width + 1));
            text.push_str(if at < self.text { "-|" } else { ":|" });
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right() {
        let mut table = Table::new(&["scenario", "MB/s"]);
        table.row(vec!["idle".into(), "1234.5".into()]);
        assert_eq!(table.render(), "| scenario |   MB/s |\n|----------|-------:|\n| idle     | 1234.5 |\n");
    }
}
