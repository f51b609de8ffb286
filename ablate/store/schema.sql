CREATE TABLE ablate_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT ablate_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE architectures (
	fingerprint VARCHAR(16) NOT NULL,
	backbone TEXT NOT NULL,
	parameters INTEGER,
	attention_parameters INTEGER,
	macs INTEGER,
	uncounted JSON NOT NULL,
	layers JSON NOT NULL,
	elementwise INTEGER,
	activations INTEGER,
	PRIMARY KEY (fingerprint)
);

CREATE TABLE attempts (
	token VARCHAR(32) NOT NULL,
	run_key VARCHAR(16) NOT NULL,
	number INTEGER NOT NULL,
	host TEXT NOT NULL,
	pid INTEGER NOT NULL,
	started_at VARCHAR(32) NOT NULL,
	finished_at VARCHAR(32),
	outcome VARCHAR(16),
	error TEXT,
	PRIMARY KEY (token),
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE cells (
	study VARCHAR(64) NOT NULL,
	run_key VARCHAR(16) NOT NULL,
	dataset VARCHAR(255) NOT NULL,
	setting VARCHAR(16) NOT NULL,
	ordinal INTEGER NOT NULL,
	variant TEXT NOT NULL,
	attention TEXT NOT NULL,
	position TEXT,
	reduction FLOAT,
	kernel_size INTEGER,
	options JSON NOT NULL, dataset_hash VARCHAR(64),
	PRIMARY KEY (study, run_key),
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE checkpoints (
	run_key VARCHAR(16) NOT NULL,
	epoch INTEGER NOT NULL,
	file TEXT NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	written_at VARCHAR(32) NOT NULL,
	PRIMARY KEY (run_key, epoch),
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE choices (
	device VARCHAR(255) NOT NULL,
	precision VARCHAR(16) NOT NULL,
	decision VARCHAR(16) NOT NULL,
	subject VARCHAR(64) NOT NULL,
	conditions VARCHAR(64) NOT NULL,
	choice JSON NOT NULL,
	reason TEXT NOT NULL,
	chosen_at VARCHAR(32) NOT NULL,
	PRIMARY KEY (device, precision, decision, subject, conditions)
);

CREATE TABLE costs (
	fingerprint VARCHAR(16) NOT NULL,
	device VARCHAR(255) NOT NULL,
	precision VARCHAR(16) NOT NULL,
	mode VARCHAR(8) NOT NULL,
	batch_size INTEGER NOT NULL,
	protocol VARCHAR(8) NOT NULL,
	images_per_second FLOAT NOT NULL,
	p10 FLOAT NOT NULL,
	p90 FLOAT NOT NULL,
	latency_ms FLOAT,
	peak_memory_mib FLOAT,
	rounds INTEGER NOT NULL,
	environment_id VARCHAR(16) NOT NULL,
	measured_at VARCHAR(32) NOT NULL, rounds_dropped INTEGER, baseline VARCHAR(16), baseline_ratio FLOAT, ratio_low FLOAT, ratio_high FLOAT, copy_gib_per_second FLOAT, clock_mhz FLOAT, processes INTEGER,
	PRIMARY KEY (fingerprint, device, precision, mode, batch_size, protocol),
	FOREIGN KEY(fingerprint) REFERENCES architectures (fingerprint),
	FOREIGN KEY(environment_id) REFERENCES environments (environment_id)
);

CREATE TABLE datasets (
	dataset_hash VARCHAR(64) NOT NULL,
	classes INTEGER NOT NULL,
	train_images INTEGER NOT NULL,
	test_images INTEGER NOT NULL,
	smallest_class TEXT NOT NULL,
	smallest_class_images INTEGER NOT NULL,
	largest_class TEXT NOT NULL,
	largest_class_images INTEGER NOT NULL,
	majority_class TEXT NOT NULL,
	majority_share FLOAT NOT NULL,
	passed_over JSON NOT NULL,
	turned_images INTEGER NOT NULL,
	turned INTEGER NOT NULL,
	compared TEXT,
	tested_in_training INTEGER,
	in_two_classes INTEGER,
	plain_images INTEGER,
	transparent_images INTEGER, folds INTEGER, smallest_fold_images INTEGER, largest_fold_images INTEGER,
	PRIMARY KEY (dataset_hash)
);

CREATE TABLE environments (
	environment_id VARCHAR(16) NOT NULL,
	content JSON NOT NULL,
	PRIMARY KEY (environment_id)
);

CREATE TABLE epochs (
	run_key VARCHAR(16) NOT NULL,
	epoch INTEGER NOT NULL,
	train_loss FLOAT NOT NULL,
	train_accuracy FLOAT NOT NULL,
	val_loss FLOAT,
	val_accuracy FLOAT,
	test_loss FLOAT,
	test_accuracy FLOAT,
	learning_rate FLOAT NOT NULL,
	seconds FLOAT NOT NULL,
	images_per_second FLOAT NOT NULL,
	PRIMARY KEY (run_key, epoch),
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE explanations (
	run_key VARCHAR(16) NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (run_key),
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE looks (
	study VARCHAR(64) NOT NULL,
	dataset_hash VARCHAR(64) NOT NULL,
	setting VARCHAR(16) NOT NULL,
	looked_at VARCHAR(32) NOT NULL,
	finished VARCHAR(16) NOT NULL,
	rule VARCHAR(16) NOT NULL,
	command VARCHAR(32) NOT NULL,
	n JSON NOT NULL,
	planned JSON NOT NULL,
	margin FLOAT,
	family INTEGER NOT NULL,
	PRIMARY KEY (study, dataset_hash, setting, looked_at, finished, rule)
);

CREATE TABLE metrics (
	run_key VARCHAR(16) NOT NULL,
	split VARCHAR(16) NOT NULL,
	metric VARCHAR(32) NOT NULL,
	class_name VARCHAR(255) NOT NULL,
	value FLOAT NOT NULL,
	PRIMARY KEY (run_key, split, metric, class_name),
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE profiles (
	id INTEGER NOT NULL,
	fingerprint VARCHAR(16) NOT NULL,
	device VARCHAR(255) NOT NULL,
	path VARCHAR(16) NOT NULL,
	module TEXT,
	operator TEXT NOT NULL,
	self_device_us FLOAT NOT NULL,
	self_cpu_us FLOAT NOT NULL,
	calls FLOAT NOT NULL,
	share FLOAT NOT NULL, memory_kib FLOAT,
	PRIMARY KEY (id),
	FOREIGN KEY(fingerprint) REFERENCES architectures (fingerprint)
);

CREATE TABLE runs (
	run_key VARCHAR(16) NOT NULL,
	fingerprint VARCHAR(16) NOT NULL,
	dataset_hash VARCHAR(64) NOT NULL,
	recipe JSON NOT NULL,
	seed INTEGER NOT NULL,
	status VARCHAR(16) NOT NULL,
	failure VARCHAR(16),
	error TEXT,
	attempts INTEGER NOT NULL,
	token VARCHAR(32),
	owner_host TEXT,
	owner_pid INTEGER,
	owner_started FLOAT,
	heartbeat INTEGER NOT NULL,
	val_accuracy FLOAT,
	test_accuracy FLOAT,
	test_loss FLOAT,
	test_correct BLOB,
	weights_sha256 VARCHAR(64),
	seconds FLOAT,
	train_images_per_second FLOAT,
	device TEXT,
	precision VARCHAR(16),
	environment_id VARCHAR(16),
	started_at VARCHAR(32),
	finished_at VARCHAR(32), weights_file VARCHAR(64), path JSON, unmoved_attention TEXT, test_predictions BLOB, fold INTEGER, test_first INTEGER, test_images INTEGER,
	PRIMARY KEY (run_key),
	FOREIGN KEY(fingerprint) REFERENCES architectures (fingerprint),
	FOREIGN KEY(environment_id) REFERENCES environments (environment_id)
);

CREATE TABLE steps (
	run_key VARCHAR(16) NOT NULL,
	step INTEGER NOT NULL,
	batch_loss FLOAT NOT NULL,
	batch_accuracy FLOAT NOT NULL,
	learning_rate FLOAT NOT NULL, epoch INTEGER,
	PRIMARY KEY (run_key, step),
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE studies (
	study VARCHAR(64) NOT NULL,
	dataset VARCHAR(255) NOT NULL,
	setting VARCHAR(16) NOT NULL,
	definition JSON NOT NULL,
	updated_at VARCHAR(32) NOT NULL,
	dataset_hash VARCHAR(64) NOT NULL,
	PRIMARY KEY (study, setting, dataset_hash)
);

CREATE TABLE test_pictures (
	dataset_hash VARCHAR(64) NOT NULL,
	image_size INTEGER NOT NULL,
	image INTEGER NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (dataset_hash, image_size, image)
);

CREATE TABLE test_sets (
	dataset_hash VARCHAR(64) NOT NULL,
	images INTEGER NOT NULL,
	labels BLOB,
	classes JSON,
	PRIMARY KEY (dataset_hash)
);

CREATE TABLE traces (
	fingerprint VARCHAR(16) NOT NULL,
	device VARCHAR(255) NOT NULL,
	path VARCHAR(16) NOT NULL,
	file TEXT,
	reason TEXT,
	written_at VARCHAR(32) NOT NULL,
	PRIMARY KEY (fingerprint, device, path),
	FOREIGN KEY(fingerprint) REFERENCES architectures (fingerprint)
);

CREATE TABLE trials (
	study VARCHAR(64) NOT NULL,
	dataset VARCHAR(255) NOT NULL,
	setting VARCHAR(16) NOT NULL,
	search VARCHAR(16) NOT NULL,
	number INTEGER NOT NULL,
	point JSON NOT NULL,
	sampler_state JSON NOT NULL,
	variant TEXT NOT NULL,
	fingerprint VARCHAR(16) NOT NULL,
	state VARCHAR(16) NOT NULL,
	run_keys JSON NOT NULL,
	trained JSON NOT NULL,
	reason TEXT,
	asked_at VARCHAR(32) NOT NULL,
	ended_at VARCHAR(32),
	dataset_hash VARCHAR(64) NOT NULL,
	PRIMARY KEY (study, setting, search, number, dataset_hash),
	FOREIGN KEY(fingerprint) REFERENCES architectures (fingerprint)
);

CREATE INDEX cells_in_order ON cells (study, dataset_hash, setting, ordinal);

CREATE INDEX ix_attempts_run_key ON attempts (run_key);

CREATE INDEX profiles_by_fingerprint ON profiles (fingerprint, device);

CREATE VIEW v_costs AS
        SELECT DISTINCT c.variant, k.fingerprint, k.device, k.precision, k.mode, k.batch_size,
               k.images_per_second, k.p10, k.p90, k.latency_ms, k.peak_memory_mib,
               k.protocol, k.rounds, k.measured_at, k.rounds_dropped, k.baseline,
               k.baseline_ratio, k.ratio_low, k.ratio_high, k.copy_gib_per_second, k.clock_mhz,
               json_extract(e.content, '$.torch') AS torch, k.processes
        FROM costs k
        JOIN environments e ON e.environment_id = k.environment_id
        JOIN runs r ON r.fingerprint = k.fingerprint
        JOIN cells c ON c.run_key = r.run_key;

CREATE VIEW v_datasets AS
        SELECT s.study, s.dataset, s.dataset_hash, s.setting, d.classes,
               d.train_images - json_extract(s.definition, '$.validation_images') AS train_images, json_extract(s.definition, '$.validation_images') AS validation_images,
               d.test_images, d.smallest_class, d.smallest_class_images, d.largest_class,
               d.largest_class_images, d.majority_class, d.majority_share, d.compared,
               d.tested_in_training, d.in_two_classes, d.plain_images, d.transparent_images,
               d.turned_images, d.turned, d.passed_over, d.folds, d.smallest_fold_images,
               d.largest_fold_images
        FROM studies s
        LEFT JOIN datasets d ON d.dataset_hash = s.dataset_hash;

CREATE VIEW v_epochs AS
        SELECT run_key, epoch, train_loss, train_accuracy, val_loss, val_accuracy,
               test_loss, test_accuracy, learning_rate, seconds, images_per_second
        FROM epochs;

CREATE VIEW v_looks AS
        SELECT l.study, s.dataset, l.dataset_hash, l.setting,
               ROW_NUMBER() OVER (PARTITION BY l.study, l.dataset_hash, l.setting
                                  ORDER BY l.looked_at, l.finished, l.rule) AS number,
               l.looked_at, l.rule, l.command, l.n, l.planned, l.margin, l.family, l.finished
        FROM looks l
        LEFT JOIN studies s ON s.study = l.study AND s.dataset_hash = l.dataset_hash
             AND s.setting = l.setting;

CREATE VIEW v_metrics AS
        SELECT run_key, split, metric, NULLIF(class_name, '') AS class, value FROM metrics;

CREATE VIEW v_predictions AS
        WITH RECURSIVE numbers(image) AS (
            SELECT 0 UNION ALL SELECT image + 1 FROM numbers
            WHERE image + 1 < (SELECT MAX(images) FROM test_sets)
        ), bytes(every) AS (SELECT X'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff')
        SELECT r.run_key, COALESCE(r.test_first, 0) + n.image AS image, (256 * (instr(b.every, substr(s.labels, 2 * (COALESCE(r.test_first, 0) + n.image) + 1, 1)) - 1) + (instr(b.every, substr(s.labels, 2 * (COALESCE(r.test_first, 0) + n.image) + 1 + 1, 1)) - 1)) AS label,
               CASE WHEN length(r.test_predictions) = 4 * COALESCE(r.test_images, s.images) THEN (256 * (instr(b.every, substr(r.test_predictions, 4 * n.image + 1, 1)) - 1) + (instr(b.every, substr(r.test_predictions, 4 * n.image + 1 + 1, 1)) - 1)) END AS predicted, CASE WHEN length(r.test_predictions) = 4 * COALESCE(r.test_images, s.images) THEN CAST(NULLIF((256 * (instr(b.every, substr(r.test_predictions, 4 * n.image + 2 + 1, 1)) - 1) + (instr(b.every, substr(r.test_predictions, 4 * n.image + 2 + 1 + 1, 1)) - 1)), 0) AS double precision) / 65535 END AS probability, (((instr(b.every, substr(r.test_correct, n.image / 8 + 1, 1)) - 1) >> (7 - n.image % 8)) & 1) AS correct
        FROM runs r
        JOIN test_sets s ON s.dataset_hash = r.dataset_hash
        CROSS JOIN bytes b CROSS JOIN numbers n
        WHERE r.status = 'finished'
              AND length(r.test_correct) = (COALESCE(r.test_images, s.images) + 7) / 8
              AND n.image < COALESCE(r.test_images, s.images);

CREATE VIEW v_profile AS
        SELECT fingerprint, device, path, module, operator, self_device_us, self_cpu_us,
               calls, share, memory_kib
        FROM profiles;

CREATE VIEW v_runs AS
        SELECT c.study, c.run_key, c.variant, r.fingerprint, NULLIF(a.backbone, '') AS backbone,
               NULLIF(c.attention, '') AS attention, c.position, c.reduction, c.kernel_size, c.options,
               c.dataset, r.seed, r.status, r.failure, r.error, r.attempts,
               CASE WHEN json_extract(r.recipe, '$.elsewhere') IS NOT NULL THEN json_extract(r.recipe, '$.epochs')
                    ELSE (SELECT COUNT(*) FROM epochs e WHERE e.run_key = r.run_key)
               END AS epochs,
               r.val_accuracy, r.test_accuracy, a.parameters, a.attention_parameters, a.macs,
               r.seconds, r.train_images_per_second, r.device, r.precision,
               r.started_at, r.finished_at, c.setting, c.ordinal, a.elementwise, a.activations,
               r.dataset_hash, r.unmoved_attention, r.fold
        FROM cells c
        JOIN runs r ON r.run_key = c.run_key
        JOIN architectures a ON a.fingerprint = r.fingerprint;

CREATE VIEW v_steps AS
        SELECT run_key, step, batch_loss, batch_accuracy, learning_rate FROM steps;
