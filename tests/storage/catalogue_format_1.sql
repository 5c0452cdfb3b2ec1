-- A catalogue of format 1, as the code of that format wrote it (sqlite3 .dump).
BEGIN TRANSACTION;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('registered', 'identified', 'missing')),
    path TEXT NOT NULL,
    bytes INTEGER,
    mtime_ns INTEGER,
    batch TEXT,
    track_id TEXT
);
INSERT INTO "events" VALUES(1,'2026-11-21T00:29:18.448840+00:00','registered','jazz/a.mp3',100,10,'batch-000001',NULL);
INSERT INTO "events" VALUES(2,'2026-11-21T00:29:18.448840+00:00','registered','jazz/b.mp3',200,20,'batch-000001',NULL);
INSERT INTO "events" VALUES(3,'2026-11-21T00:29:18.448840+00:00','registered','rock/c.mp3',300,30,'batch-000001',NULL);
INSERT INTO "events" VALUES(4,'2026-11-21T00:29:18.457570+00:00','identified','jazz/a.mp3',NULL,NULL,'batch-000001','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO "events" VALUES(5,'2026-11-21T00:29:18.457570+00:00','identified','jazz/b.mp3',NULL,NULL,'batch-000001','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb');
INSERT INTO "events" VALUES(6,'2026-11-21T00:29:18.457570+00:00','identified','rock/c.mp3',NULL,NULL,'batch-000001','cccccccccccccccccccccccccccccccc');
INSERT INTO "events" VALUES(7,'2026-11-21T00:29:18.459139+00:00','missing','rock/c.mp3',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(8,'2026-11-21T00:29:18.460528+00:00','registered','jazz/b.mp3',201,21,'batch-000002',NULL);
INSERT INTO "events" VALUES(9,'2026-11-21T00:29:18.460528+00:00','registered','rock/d.mp3',400,40,'batch-000002',NULL);
INSERT INTO "events" VALUES(10,'2026-11-21T00:29:18.462218+00:00','identified','jazz/b.mp3',NULL,NULL,'batch-000002','b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2');
INSERT INTO "events" VALUES(11,'2026-11-21T00:29:18.464094+00:00','missing','rock/d.mp3',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(12,'2026-11-21T00:29:18.466047+00:00','registered','rock/c.mp3',300,30,'batch-000003',NULL);
CREATE INDEX events_by_path ON events (path, seq);
CREATE INDEX events_by_batch ON events (batch, seq);
CREATE INDEX events_by_track ON events (track_id) WHERE track_id IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',12);
COMMIT;
PRAGMA user_version=1;
