-- How much a user, or each who has a role, may publish: `messages=N:BURST,bytes=N:BURST`, one or both; null is no bound.

ALTER TABLE users ADD COLUMN publish_budget TEXT;
ALTER TABLE roles ADD COLUMN publish_budget TEXT;
