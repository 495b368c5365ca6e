-- The order book. Bodies are not compressed: what is large in them was sealed.
CREATE TABLE IF NOT EXISTS smdp_profiles (
	iccid       {text} NOT NULL PRIMARY KEY,
	matching_id {text} NOT NULL, -- empty: none
	device      {text} NOT NULL, -- empty: none
	profile_id  {text} NOT NULL, -- 20 digits, so that order is that of numbers; empty: none
	waiting     {text} NOT NULL, -- the eUICC that finds this record without a matching ID; empty: none
	version     BIGINT NOT NULL,
	body        {bytes} NOT NULL -- the rest, as JSON
){storage};
{postgres}ALTER TABLE smdp_profiles ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX IF NOT EXISTS smdp_profiles_matching ON smdp_profiles (matching_id) WHERE matching_id <> '';
CREATE UNIQUE INDEX IF NOT EXISTS smdp_profiles_device ON smdp_profiles (device, profile_id) WHERE profile_id <> '';
CREATE INDEX IF NOT EXISTS smdp_profiles_waiting ON smdp_profiles (waiting, profile_id DESC, iccid) WHERE waiting <> '';
-- Sessions that were given a package.
CREATE TABLE IF NOT EXISTS smdp_transactions (
	id    {text} NOT NULL,
	iccid {text} NOT NULL,
	PRIMARY KEY (id, iccid)
);
CREATE INDEX IF NOT EXISTS smdp_transactions_iccid ON smdp_transactions (iccid);
