//! Columns written as a Parquet file.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime};
use parquet::basic::{
    Compression, GzipLevel, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel,
};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::infer::{Columns, Guess, int, lines_of, unescaped};
use super::schema::Kind;
use super::split::members;
use super::{Pages, REST, Shape};

/// Bytes of lines in a row group: what a reader reads at once, and what is in memory a second time while it is written.
const GROUP: usize = 8 * 1024 * 1024;

/// Makes a file of JSON lines.
pub(super) fn write(lines: &Bytes, shape: &Shape) -> Result<Vec<u8>> {
    let columns = match &shape.schema {
        Some(schema) => Columns::given(schema),
        None => Columns::of(lines),
    };
    let compression = match shape.pages {
        Pages::Snappy => Compression::SNAPPY,
        Pages::Gzip => Compression::GZIP(GzipLevel::default()),
        Pages::Zstd => Compression::ZSTD(ZstdLevel::default()),
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_created_by(concat!("ikada version ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema(&columns)?, Arc::new(properties))?;
    let mut rest = lines.clone();
    while !rest.is_empty() {
        let group = rest.split_to(group_len(&rest));
        let mut row_group = file.next_row_group()?;
        for values in Group::of(&columns, &group).columns {
            let Some(mut column) = row_group.next_column()? else { break };
            values.write(&mut column)?;
            column.close()?;
        }
        row_group.close()?;
    }
    file.into_inner()
}

/// Bytes of whole lines that make a row group.
fn group_len(lines: &[u8]) -> usize {
    let Some(beyond) = lines.get(GROUP..) else { return lines.len() };
    memchr::memchr(b'\n', beyond).map_or(lines.len(), |at| GROUP + at + 1)
}

fn schema(columns: &Columns) -> Result<TypePtr> {
    let own = columns.all.iter().map(|(name, kind)| (name.as_str(), *kind));
    let rest = columns.has_rest.then_some((REST, Kind::Text));
    let fields: Result<Vec<TypePtr>> = own.chain(rest).map(|(name, kind)| field(name, kind)).collect();
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields?).build()?))
}

fn field(name: &str, kind: Kind) -> Result<TypePtr> {
    let (physical, logical) = match kind {
        Kind::Bool => (Physical::BOOLEAN, None),
        Kind::Int => (Physical::INT64, None),
        Kind::Float => (Physical::DOUBLE, None),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Kind::Text | Kind::Unknown => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    Ok(Arc::new(builder.with_logical_type(logical).build()?))
}

/// Some rows, by columns.
struct Group {
    columns: Vec<Column>,
}

impl Group {
    fn of(columns: &Columns, lines: &Bytes) -> Self {
        let mut all: Vec<Column> = columns.all.iter().map(|(_, kind)| Column::new(*kind)).collect();
        let mut rest = columns.has_rest.then(|| Column::new(Kind::Text));
        let mut guess = Guess::default();
        let mut others = Vec::new();
        let mut rows = 0;
        for line in lines_of(lines) {
            guess.restart();
            let is_whole = members(line, |name, value| {
                let column = guess.column(name, || columns.find(name));
                if !column.is_some_and(|at| all[at].push(rows, value, lines)) {
                    push_member(name, value, &mut others);
                }
            });
            if let Some(rest) = &mut rest {
                if !is_whole {
                    rest.push_text(rows, lines.slice_ref(line));
                } else if !others.is_empty() {
                    others.push(b'}');
                    rest.push_text(rows, Bytes::copy_from_slice(&others));
                }
            }
            others.clear();
            rows += 1;
        }
        all.extend(rest);
        all.iter_mut().for_each(|column| column.fill(rows));
        Self { columns: all }
    }
}

fn push_member(name: &[u8], value: &[u8], object: &mut Vec<u8>) {
    object.push(if object.is_empty() { b'{' } else { b',' });
    for part in [b"\"", name, b"\":", value] {
        object.extend_from_slice(part);
    }
}

/// The values of some rows under one name.
struct Column {
    values: Values,
    /// For each row 1 where it has a value, and 0 where it has none.
    levels: Vec<i16>,
}

enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Time(Vec<i64>),
    Float(Vec<f64>),
    Text(Vec<ByteArray>),
}

impl Column {
    fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Bool => Values::Bool(Vec::new()),
            Kind::Int => Values::Int(Vec::new()),
            Kind::Time => Values::Time(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Text | Kind::Unknown => Values::Text(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    /// Rows up to this one have nothing.
    fn fill(&mut self, rows: usize) {
        self.levels.resize(rows.max(self.levels.len()), 0);
    }

    /// Takes the value of a row; `false` where it is not of the column's type.
    fn push(&mut self, row: usize, value: &[u8], lines: &Bytes) -> bool {
        self.fill(row);
        // A name that comes twice in a record counts once.
        if self.levels.len() > row || value == b"null" {
            return true;
        }
        let is_taken = match &mut self.values {
            Values::Bool(all) => add(all, bool_of(value)),
            Values::Int(all) => add(all, whole(value)),
            Values::Float(all) => {
                add(all, inner(value).parse().ok().filter(|number: &f64| number.is_finite()))
            }
            Values::Time(all) => add(all, micros(value)),
            Values::Text(all) => add(all, Some(ByteArray::from(text_of(value, lines)))),
        };
        if is_taken {
            self.levels.push(1);
        }
        is_taken
    }

    fn push_text(&mut self, row: usize, text: Bytes) {
        self.fill(row);
        if let Values::Text(all) = &mut self.values {
            all.push(ByteArray::from(text));
            self.levels.push(1);
        }
    }

    fn write(&self, column: &mut SerializedColumnWriter<'_>) -> Result<()> {
        match &self.values {
            Values::Bool(all) => self.write_as::<BoolType>(all, column),
            Values::Int(all) | Values::Time(all) => self.write_as::<Int64Type>(all, column),
            Values::Float(all) => self.write_as::<DoubleType>(all, column),
            Values::Text(all) => self.write_as::<ByteArrayType>(all, column),
        }
    }

    fn write_as<T: DataType>(&self, all: &[T::T], column: &mut SerializedColumnWriter<'_>) -> Result<()> {
        column.typed::<T>().write_batch(all, Some(&self.levels), None).map(drop)
    }
}

fn add<T>(all: &mut Vec<T>, value: Option<T>) -> bool {
    let is_there = value.is_some();
    all.extend(value);
    is_there
}

/// What a value says, without the quotes it may stand in: numbers are often logged as text.
fn inner(value: &[u8]) -> &str {
    let text = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    std::str::from_utf8(text.unwrap_or(value)).unwrap_or_default()
}

fn bool_of(value: &[u8]) -> Option<bool> {
    inner(value).parse().ok()
}

/// A whole number, written with a fraction of nothing too.
fn whole(value: &[u8]) -> Option<i64> {
    let text = inner(value);
    let plain = text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0'));
    int(plain.map_or(text, |(whole, _)| whole).as_bytes())
}

/// Numbers from here on are milliseconds, not seconds: as seconds they would lie three thousand years ahead.
const MILLIS_FROM: i64 = 100_000_000_000;

/// Microseconds since 1970 of a time as `json_date_format` and most applications write it.
fn micros(value: &[u8]) -> Option<i64> {
    let text = inner(value);
    if let Ok(number) = text.parse::<i64>() {
        return number.checked_mul(if number.abs() >= MILLIS_FROM { 1_000 } else { 1_000_000 });
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let micros = (seconds * 1e6).round();
        return (micros.abs() < 9e18).then_some(micros as i64);
    }
    let naive = |format| NaiveDateTime::parse_from_str(text, format).ok().map(|time| time.and_utc());
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let time = time.or_else(|| naive("%Y-%m-%d %H:%M:%S%.f")).or_else(|| naive("%Y-%m-%dT%H:%M:%S%.f"));
    Some(time?.timestamp_micros())
}

/// A string as it is, anything else as JSON; without a copy where nothing is escaped.
fn text_of(value: &[u8], lines: &Bytes) -> Bytes {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    match inner {
        None => lines.slice_ref(value),
        Some(inner) if inner.contains(&b'\\') => Bytes::from(unescaped(inner)),
        Some(inner) => lines.slice_ref(inner),
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    /// The rows of a file, each with its values by name.
    fn read(file: Vec<u8>) -> Vec<Vec<(String, Field)>> {
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().into_columns()).collect()
    }

    fn written(lines: &str) -> Vec<u8> {
        write(&Bytes::from(lines.to_owned()), &Shape::default()).unwrap()
    }

    fn cell(field: &Field) -> Option<String> {
        match field {
            Field::Null => None,
            Field::Str(text) => Some(text.clone()),
            Field::Bool(value) => Some(value.to_string()),
            Field::Long(value) => Some(value.to_string()),
            Field::Double(value) => Some(value.to_string()),
            Field::TimestampMicros(value) => Some(format!("{value} µs")),
            other => panic!("{other:?}"),
        }
    }

    fn cells(lines: &str) -> Vec<Vec<Option<String>>> {
        read(written(lines)).iter().map(|row| row.iter().map(|(_, field)| cell(field)).collect()).collect()
    }

    #[test]
    fn records_are_rows() {
        let lines = concat!(
            r#"{"date":"2023-11-14T22:13:20.1Z","log":"hello \u65e5\u672c","n":1,"f":1.5,"ok":true}"#,
            "\n",
            r#"{"date":"2023-11-14T22:13:21.2Z","log":{"a":1},"n":null,"f":2}"#,
            "\n",
            r#"{"more":[1,"x"],"log":7}"#,
            "\n"
        );
        let rows = read(written(lines));
        let names: Vec<&str> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["date", "log", "n", "f", "ok", "more"]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            cells(lines),
            [
                vec![
                    some("2023-11-14T22:13:20.1Z"),
                    some("hello 日本"),
                    some("1"),
                    some("1.5"),
                    some("true"),
                    None
                ],
                vec![some("2023-11-14T22:13:21.2Z"), some(r#"{"a":1}"#), None, some("2"), None, None],
                vec![None, some("7"), None, None, None, some(r#"[1,"x"]"#)],
            ]
        );
    }

    #[test]
    fn what_has_no_column_is_in_the_rest() {
        assert_eq!(cells("{}\n{}\n"), [[None], [None]]);
        let rest = r#"{"_rest":1}"#;
        assert_eq!(cells(&format!("{rest}\n")), [[Some(rest.to_owned())]]);
        let torn = r#"{"a":1,"b"#;
        assert_eq!(cells(&format!("{torn}\n")), [[Some("1".to_owned()), Some(torn.to_owned())]]);
        let many: Vec<String> = (0..1_002).map(|at| format!("\"k{at}\":{at}")).collect();
        let rows = read(written(&format!("{{{}}}\n", many.join(","))));
        let (name, field) = rows[0].last().unwrap();
        assert_eq!((name.as_str(), cell(field).as_deref()), (REST, Some(r#"{"k1000":1000,"k1001":1001}"#)));
    }

    #[test]
    fn columns_that_are_given_are_there_in_every_object_and_what_does_not_fit_is_in_the_rest() {
        let columns = ["t timestamp", "日 string", "n bigint", "f double", "ok boolean"].map(str::to_owned);
        let schema = Some(Arc::new(super::super::Schema::new(&columns).unwrap()));
        let lines = concat!(
            r#"{"t":"2023-11-14T22:13:20.123456Z","\u65e5":"x\ty","n":7.0,"f":2,"ok":true}"#,
            "\n",
            r#"{"f":"1.5","n":"12","other":{"a":1},"t":"2023-11-14 22:13:20.5","ok":"false"}"#,
            "\n",
            r#"{"t":1700000000123,"日":{"a":1},"n":"many","f":null,"ok":1}"#,
            "\n",
            r#"{"t":1700000000.5,"n":1.5}"#,
            "\n"
        );
        for pages in [Pages::Snappy, Pages::Gzip, Pages::Zstd] {
            let shape = Shape { pages, schema: schema.clone() };
            let rows = read(write(&Bytes::from(lines), &shape).unwrap());
            let names: Vec<&str> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["t", "日", "n", "f", "ok", REST]);
            let shown: Vec<String> = rows
                .iter()
                .map(|row| {
                    let cells = row.iter().map(|(_, field)| cell(field).unwrap_or_else(|| "-".to_owned()));
                    cells.collect::<Vec<_>>().join(" | ")
                })
                .collect();
            assert_eq!(
                shown,
                [
                    "1700000000123456 µs | x\ty | 7 | 2 | true | -",
                    r#"1700000000500000 µs | - | 12 | 1.5 | false | {"other":{"a":1}}"#,
                    r#"1700000000123000 µs | {"a":1} | - | - | - | {"n":"many","ok":1}"#,
                    r#"1700000000500000 µs | - | - | - | - | {"n":1.5}"#,
                ]
            );
        }
    }

    #[test]
    fn an_object_larger_than_a_row_group_has_several_and_they_are_the_same_every_time() {
        let lines: String =
            (0..100_000).map(|n| format!("{{\"n\":{n},\"log\":\"{}\"}}\n", "x".repeat(n % 300))).collect();
        let file = written(&lines);
        assert_eq!(written(&lines), file);
        let reader = SerializedFileReader::new(Bytes::from(file.clone())).unwrap();
        assert!(reader.num_row_groups() > 1);
        let rows = read(file);
        assert_eq!(rows.len(), 100_000);
        assert!(rows.iter().enumerate().all(|(n, row)| row[0].1 == Field::Long(n as i64)));
    }

    fn records() -> impl Strategy<Value = Vec<Map<String, Value>>> {
        let value = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| json!(f64::from(number) / 4.0)),
            any::<String>().prop_map(Value::from),
            any::<String>().prop_map(|text| json!({ "in": [text] })),
        ];
        let name = prop::sample::select(vec!["a", "b", "日本", "q\"\\", ""]);
        let record = prop::collection::vec((name, value), 0..5);
        let map = record
            .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        prop::collection::vec(map, 1..40)
    }

    proptest! {
        #[test]
        fn every_value_is_in_its_row_and_column(records in records()) {
            let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
            let rows = read(written(&(lines.join("\n") + "\n")));
            prop_assert_eq!(rows.len(), records.len());
            for (row, record) in rows.iter().zip(&records) {
                for (name, field) in row.iter().filter(|(name, _)| name != REST) {
                    let value = record.get(if name == "_" { "" } else { name }).unwrap_or(&Value::Null);
                    match (value, field) {
                        (Value::Null, field) => prop_assert_eq!(field, &Field::Null),
                        (Value::String(text), field) => prop_assert_eq!(field, &Field::Str(text.clone())),
                        (value, Field::Str(text)) => {
                            prop_assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), value);
                        }
                        (value, Field::Double(number)) => prop_assert_eq!(value.as_f64(), Some(*number)),
                        (value, Field::Long(number)) => prop_assert_eq!(value.as_i64(), Some(*number)),
                        (value, Field::Bool(is_so)) => prop_assert_eq!(value.as_bool(), Some(*is_so)),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
}
