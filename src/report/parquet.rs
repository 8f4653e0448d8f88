//! The findings as a Parquet table, one row each, for other tools.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray, UInt64Array};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::Report;
use crate::findings::{Analysis, Finding, Time};

pub struct ParquetReport;

impl Report for ParquetReport {
    fn write(&self, analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
        let batch = batch(&analysis.findings).map_err(io::Error::other)?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        // The file is built in memory: findings are few, and what it is written to may not take plain writes.
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        out.write_all(&writer.into_inner()?)
    }
}

fn batch(findings: &[Finding]) -> arrow::error::Result<RecordBatch> {
    let text = |value: &dyn Fn(&Finding) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(findings.iter().map(value)))
    };
    let count =
        |value: fn(&Finding) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(findings.iter().map(value))) };
    let time = |value: fn(&Finding) -> Option<Time>| -> ArrayRef {
        let times = findings.iter().map(|f| value(f).map(|Time(ms)| ms));
        Arc::new(TimestampMillisecondArray::from_iter(times).with_timezone("UTC"))
    };
    let ports = |f: &Finding| f.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
    let score = |f: &Finding| f.score.to_string().parse::<f64>().unwrap_or_default();
    RecordBatch::try_from_iter([
        ("rank", Arc::new(UInt64Array::from_iter_values(findings.iter().map(|f| f.rank))) as ArrayRef),
        ("id", text(&|f| Some(f.id.clone()))),
        ("fingerprint", text(&|f| Some(f.fingerprint.clone()))),
        ("kind", text(&|f| Some(f.kind.to_string()))),
        ("severity", text(&|f| Some(f.severity.to_string()))),
        ("score", Arc::new(Float64Array::from_iter_values(findings.iter().map(score)))),
        ("confidence", text(&|f| Some(f.confidence.to_string()))),
        ("verdict", text(&|f| Some(f.verdict.to_string()))),
        ("state", text(&|f| Some(f.state.to_string()))),
        ("requirement", text(&|f| f.requirement.clone())),
        ("candidates", text(&|f| Some(f.candidates.join(",")))),
        ("direction", text(&|f| Some(f.direction.clone()))),
        ("vantage", text(&|f| Some(f.vantage.clone()))),
        ("subnet", text(&|f| Some(f.subnet.clone()))),
        ("protocol", text(&|f| Some(f.protocol.clone()))),
        ("ports", text(&|f| Some(ports(f)))),
        ("acl", text(&|f| f.acl.clone())),
        ("rule", text(&|f| f.rule.clone())),
        ("rule_origin", text(&|f| Some(f.rule_origin.clone()))),
        ("denied_tuples", count(|f| f.denied_tuples)),
        ("denied_tuples_24h", count(|f| f.denied_tuples_24h)),
        ("allowed_24h", count(|f| f.allowed_24h)),
        ("first_denied", time(|f| f.first_denied)),
        ("last_denied", time(|f| f.last_denied)),
        ("explanation", text(&|f| Some(f.explanation.clone()))),
    ])
}
