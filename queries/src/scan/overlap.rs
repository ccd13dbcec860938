//! Which files must be read together: those that an overlay file may share rows with.

use std::sync::Arc;

use tidegauge_tables::{DataFile, FileKind, Key, Table};

/// Something whose rows may have to be settled with those of others.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Where its rows lie; for `series`, their date.
    pub(crate) span: (i64, i64),
    /// Its least and greatest key; none: anything.
    pub(crate) keys: Option<(Key, Key)>,
    /// Whether it may share rows with others.
    pub(crate) overlay: bool,
}

impl Piece {
    /// A live file.
    pub(crate) fn of_file(table: Table, file: &Arc<DataFile>) -> Self {
        let date = i64::from(file.date);
        Self {
            span: match table {
                Table::Series => (date, date),
                _ => (file.min_time, file.max_time),
            },
            keys: Some((file.min_key.clone(), file.max_key.clone())),
            overlay: file.kind == FileKind::Overlay && table != Table::Rejects,
        }
    }

    fn may_share_rows(&self, other: &Self) -> bool {
        let spans = self.span.0 <= other.span.1 && other.span.0 <= self.span.1;
        let keys = match (&self.keys, &other.keys) {
            (Some(one), Some(two)) => one.0 <= two.1 && two.0 <= one.1,
            _ => true,
        };
        spans && keys
    }
}

/// Indices of pieces that stand alone, and groups of those that must be settled together.
pub(crate) fn partition(pieces: &[Piece]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut parent: Vec<usize> = (0..pieces.len()).collect();
    let mut by_start: Vec<usize> = (0..pieces.len()).collect();
    by_start.sort_by_key(|&i| pieces[i].span.0);
    for (overlay, piece) in pieces.iter().enumerate().filter(|(_, p)| p.overlay) {
        let past = by_start.partition_point(|&i| pieces[i].span.0 <= piece.span.1);
        for &other in &by_start[..past] {
            if other != overlay && piece.may_share_rows(&pieces[other]) {
                let (a, b) = (root(&mut parent, overlay), root(&mut parent, other));
                parent[a.max(b)] = a.min(b);
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); pieces.len()];
    for i in 0..pieces.len() {
        groups[root(&mut parent, i)].push(i);
    }
    let (together, alone): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .filter(|group| !group.is_empty())
        .partition(|group| group.iter().any(|&i| pieces[i].overlay));
    (alone.into_iter().flatten().collect(), together)
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(span: (i64, i64), names: (&str, &str), overlay: bool) -> Piece {
        let key = |name: &str| Key {
            tenant: "t".into(),
            name: name.into(),
        };
        Piece {
            span,
            keys: Some((key(names.0), key(names.1))),
            overlay,
        }
    }

    #[test]
    fn only_what_an_overlay_touches_is_read_together() {
        let pieces = [
            piece((0, 9), ("a", "z"), false),
            piece((5, 14), ("a", "z"), false),
            piece((10, 19), ("a", "c"), false),
            piece((12, 25), ("d", "e"), true),
            piece((20, 29), ("a", "d"), false),
            piece((30, 39), ("a", "z"), true),
        ];
        let (alone, together) = partition(&pieces);
        assert_eq!(alone, [0, 2]);
        assert_eq!(together, [vec![1, 3, 4], vec![5]]);
    }
}
