-- What an eIM knows of each eUICC.
CREATE TABLE IF NOT EXISTS eim_euiccs (
	eid     {text} NOT NULL PRIMARY KEY,
	version BIGINT NOT NULL,
	body    {bytes} NOT NULL -- the rest, as JSON
){storage};
-- The jobs in those records.
CREATE TABLE IF NOT EXISTS eim_jobs (
	id  {text} NOT NULL,
	eid {text} NOT NULL,
	PRIMARY KEY (id, eid)
);
CREATE INDEX IF NOT EXISTS eim_jobs_eid ON eim_jobs (eid);
