//! Days and dates, by the proleptic Gregorian calendar.

/// Days before each month of a year that is no leap year.
const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Days from 1970-01-01 to the first day of a month.
pub(super) fn days_from_civil(year: i32, month: u32) -> i64 {
    let year = i64::from(year);
    let month = (month.clamp(1, 12) - 1) as usize;
    let before_year = year - 1;
    let leap_days =
        before_year.div_euclid(4) - before_year.div_euclid(100) + before_year.div_euclid(400) - 477;
    let leap = month > 1 && is_leap(year);
    (year - 1970) * 365 + leap_days + BEFORE[month] + i64::from(leap)
}

/// The year and the month of a day counted from 1970-01-01.
pub(super) fn civil_of(days: i64) -> (i32, u32) {
    // The guess is at most one year off.
    let mut year = (1970 + days.div_euclid(365).clamp(-1_000_000, 1_000_000)) as i32;
    while days_from_civil(year, 1) > days {
        year -= 1;
    }
    while days_from_civil(year + 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_from_civil(year, *month) <= days);
    (year, month.unwrap_or(1))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for year in [0, 1, 1899, 1900, 1970, 1972, 2000, 2024, 2025, 2100, 2106, 9999] {
            for month in 1..=12 {
                let date = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
                let days = (date - epoch).num_days();
                assert_eq!(days_from_civil(year, month), days, "{date}");
                let last = date.pred_opt().unwrap();
                assert_eq!(civil_of(days), (year, month));
                assert_eq!(civil_of(days - 1), (last.year(), last.month()));
            }
        }
    }
}
