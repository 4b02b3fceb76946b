//! What a keeper tells its server, as it goes through their pipe.
//!
//! Owns the bytes. Allocates nothing: the keeper may not.

/// What the keeper reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Record {
    /// The file system stands.
    Ready,
    /// The step of this index failed.
    StepFailed { step: usize, errno: i32 },
    /// A program could not be executed. Its end follows.
    ExecFailed { program: usize, errno: i32 },
    /// A program ended with this wait status. It never held more memory than the peak. When no
    /// other program runs, nothing is left of any.
    Exited { program: usize, wait_status: i32, peak_kb: i32 },
}

impl Record {
    /// How many bytes one has.
    pub(in super::super) const SIZE: usize = 16;

    /// As the pipe takes it.
    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let (kind, index, first, second) = match self {
            Self::Ready => (1, 0, 0, 0),
            Self::StepFailed { step, errno } => (2, step as i32, errno, 0),
            Self::ExecFailed { program, errno } => (3, program as i32, errno, 0),
            Self::Exited { program, wait_status, peak_kb } => (4, program as i32, wait_status, peak_kb),
        };
        let mut bytes = [0; Self::SIZE];
        for (index, number) in [kind, index, first, second].into_iter().enumerate() {
            let four: [u8; 4] = i32::to_ne_bytes(number);
            (bytes[index * 4], bytes[index * 4 + 1], bytes[index * 4 + 2], bytes[index * 4 + 3]) =
                (four[0], four[1], four[2], four[3]);
        }
        bytes
    }

    /// As it was sent; nothing for what is no record.
    pub(in super::super) fn from_bytes(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let number = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let index = usize::try_from(number(4)).ok()?;
        Some(match number(0) {
            1 => Self::Ready,
            2 => Self::StepFailed { step: index, errno: number(8) },
            3 => Self::ExecFailed { program: index, errno: number(8) },
            4 => Self::Exited { program: index, wait_status: number(8), peak_kb: number(12) },
            _ => return None,
        })
    }
}
