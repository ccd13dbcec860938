//! How much text may be read a second time.
//!
//! Where text breaks off, the fault often shows far behind the line that has it: a quote that is not closed
//! takes whatever follows. So reading goes back and on at the next line. Text made for it would have each line
//! read to the end again; this keeps the whole in proportion to its length.

/// Reading anew may cost this many times the text.
const TIMES: usize = 8;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Again {
    bytes: usize,
}

impl Again {
    pub(crate) const fn of(text: &[u8]) -> Self {
        Self {
            bytes: TIMES.saturating_mul(text.len()),
        }
    }

    /// From where to go on after a fault at `fault` in what began at `start`: from its start, or from the
    /// fault where too much has been read twice.
    pub(crate) const fn back(&mut self, start: usize, fault: usize) -> usize {
        match self.bytes.checked_sub(fault.saturating_sub(start)) {
            Some(left) => {
                self.bytes = left;
                start
            }
            None => fault,
        }
    }
}
