//! Labeled tab-separated values: `label:value`, tabs between.

/// Calls `field` with every label and its value, up to the first place that is neither (cases `ltsv-*`). A value without a label is passed
/// over.
pub(super) fn fields(text: &[u8], mut field: impl FnMut(&[u8], &[u8])) {
    let line = &text[..text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len())];
    for part in line.split(|byte| *byte == b'\t') {
        let length = part.iter().take_while(|byte| is_label(**byte)).count();
        if part.get(length) != Some(&b':') {
            return;
        }
        if length > 0 {
            field(&part[..length], &part[length + 1..]);
        }
    }
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}
