//! Which page of a list a request is for.

use admin::model::{Page, PageRequest, ROWS_PER_PAGE_DEFAULT, ROWS_PER_PAGE_MAX};

use crate::problem::Problem;

/// Reads the two parameters, each of which may be absent.
pub(crate) fn page_request(
    page_number: Option<u32>,
    rows_per_page: Option<u32>,
) -> Result<PageRequest, Problem> {
    let page_number = page_number.unwrap_or(1);
    let rows_per_page = rows_per_page.unwrap_or(ROWS_PER_PAGE_DEFAULT);
    if !(1..=PAGE_NUMBER_MAX).contains(&page_number) {
        let detail = format!("pages are counted from 1, to {PAGE_NUMBER_MAX}");
        return Err(Problem::in_parameter("pageNumber", detail));
    }
    if !(1..=ROWS_PER_PAGE_MAX).contains(&rows_per_page) {
        let detail = format!("a page has 1 to {ROWS_PER_PAGE_MAX} rows, not {rows_per_page}");
        return Err(Problem::in_parameter("rowsPerPage", detail));
    }
    Ok(PageRequest { page_number, rows_per_page })
}

/// Programs that read the document take the number for one of 32 bits with a sign.
const PAGE_NUMBER_MAX: u32 = i32::MAX.unsigned_abs();

/// Cuts one page out of all rows.
pub(crate) fn cut<T, U>(rows: &[T], page: PageRequest, show: impl Fn(&T) -> U) -> Page<U> {
    let size = usize::try_from(page.rows_per_page).unwrap_or(usize::MAX);
    let skipped = usize::try_from(page.page_number.saturating_sub(1)).unwrap_or(usize::MAX);
    Page {
        items: rows.iter().skip(skipped.saturating_mul(size)).take(size).map(show).collect(),
        total: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        page_number: page.page_number,
        rows_per_page: page.rows_per_page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(page_number: u32, rows_per_page: u32, expected: &[u32]) {
        let rows = [1, 2, 3, 4, 5];
        let page = cut(&rows, PageRequest { page_number, rows_per_page }, |row| *row);
        assert_eq!((page.items.as_slice(), page.total), (expected, 5));
    }

    #[test]
    fn pages_are_counted_from_1() {
        check(1, 2, &[1, 2]);
        check(3, 2, &[5]);
        check(4, 2, &[]);
        check(u32::MAX, 100, &[]);
    }

    #[test]
    fn strange_pages_are_refused() {
        let strange = [(Some(0), None), (Some(1 << 31), None), (None, Some(0)), (None, Some(101))];
        for (page_number, rows_per_page) in strange {
            assert!(page_request(page_number, rows_per_page).is_err());
        }
        assert_eq!(page_request(None, None).unwrap(), PageRequest::default());
        assert!(page_request(Some((1 << 31) - 1), Some(100)).is_ok());
    }
}
