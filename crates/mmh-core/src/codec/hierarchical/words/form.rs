//! How the numbers of words are written.

/// How they are written.
pub(super) struct Form {
    /// Words of the codebook.
    pub(super) known: usize,
    /// Whether there are words that are not in it: they have the number that follows.
    pub(super) escapes: bool,
}

impl Form {
    /// The numbers that there are.
    pub(super) fn numbers(&self) -> usize {
        self.known + self.escapes as usize
    }

    /// Bytes of a number.
    pub(super) fn size(&self) -> usize {
        if self.numbers() <= 256 { 1 } else { 2 }
    }

    /// By how much numbers of two bytes are shifted up, to have what differs in the upper byte.
    pub(super) fn shift(&self) -> Option<u32> {
        (self.size() == 2).then(|| (self.numbers() as u32 - 1).leading_zeros() - 16)
    }
}
