//! What goes to the database on one way is told apart again.

use mesh_types::Timestamp;

use super::ledger::World;
use super::{Checked, Database};
use crate::sql::{QueryBuilder, Question, Row, ask, execute_together};
use crate::{StoreError, WriteTx, WriterSettings};

const AT: Timestamp = Timestamp::from_micros(1);

/// Those of items that are there, two asked about by each statement.
fn items(of: &[i64]) -> Question<Vec<i64>> {
    let statements = of.chunks(2).map(|chunk| {
        let mut query = QueryBuilder::new("SELECT id FROM item WHERE id ");
        query.push_in(chunk.iter().copied()).push(" ORDER BY id");
        query
    });
    Question::new(statements, |rows| {
        rows.iter().map(|row| row.try_get("id")).collect()
    })
}

fn with_sequences(from: i64) -> Question<Vec<(i64, i64)>> {
    let mut query = QueryBuilder::new("SELECT id, sequence FROM item WHERE sequence >= ");
    query.push_bind(from).push(" ORDER BY id");
    Question::new([query], |rows| rows.iter().map(Row::read).collect())
}

fn insert(tx: &mut WriteTx, ids: &[i64]) {
    tx.insert_rows(
        "INSERT INTO item (id, sequence)",
        ids,
        2,
        "",
        |mut row, id| {
            row.push_bind(*id).push_bind(10 * id);
        },
    );
}

/// Each question has its own rows, whether it takes no statement, one or several.
pub async fn each_question_has_its_own_answer(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let mut tx = world.store.begin_write(AT).await?;
    insert(&mut tx, &[1, 2, 3]);
    let before = ask(tx.conn(), items(&[1, 2, 3])).await?;
    assert_eq!(before, Vec::<i64>::new(), "nothing is inserted yet");
    tx.flush().await?;
    let asked = (
        items(&[3, 1, 2, 9]),
        items(&[]),
        (with_sequences(30), items(&[2])),
    );
    let (three, none, (last, one)) = ask(tx.conn(), asked).await?;
    assert_eq!((three, none, one), (vec![1, 3, 2], vec![], vec![2]));
    assert_eq!(last, [(3, 30)]);
    tx.commit().await?;
    world.stop().await;
    Ok(())
}

/// Each statement says how many rows it wrote, and if one fails, all are undone with the transaction.
pub async fn each_statement_says_what_it_wrote(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let mut tx = world.store.begin_write(AT).await?;
    insert(&mut tx, &[1, 2, 3]);
    tx.commit().await?;
    let moved = |to: i64, of: &[i64]| {
        let mut query = QueryBuilder::new("UPDATE item SET sequence = ");
        query.push_bind(to).push(" WHERE id ");
        query.push_in(of.iter().copied());
        query
    };
    let added = |ids: &[i64]| {
        let mut query = QueryBuilder::new("INSERT INTO item (id, sequence) ");
        query.push_values(ids, |mut row, id| {
            row.push_bind(*id).push_bind(10 * id);
        });
        query
    };
    let mut tx = world.store.begin_write(AT).await?;
    let statements = vec![moved(70, &[1, 2]), added(&[4]), moved(80, &[9])];
    let written = execute_together(tx.conn(), statements).await?;
    assert_eq!(written, [2, 1, 0]);
    tx.commit().await?;

    let mut tx = world.store.begin_write(AT).await?;
    let statements = vec![moved(90, &[3]), added(&[4])];
    let failed = execute_together(tx.conn(), statements).await;
    assert!(
        matches!(failed, Err(StoreError::Constraint(_))),
        "{failed:?}"
    );
    drop(tx);
    let mut conn = world.store.readers().acquire().await?;
    let stored = ask(&mut conn, with_sequences(0)).await?;
    assert_eq!(stored, [(1, 70), (2, 70), (3, 30), (4, 40)]);
    drop(conn);
    world.stop().await;
    Ok(())
}
