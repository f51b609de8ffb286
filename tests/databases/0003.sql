BEGIN TRANSACTION;
CREATE TABLE ablate_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT ablate_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "ablate_version" VALUES('0003');
CREATE TABLE architectures (
	fingerprint VARCHAR(16) NOT NULL, 
	backbone TEXT NOT NULL, 
	parameters INTEGER NOT NULL, 
	attention_parameters INTEGER NOT NULL, 
	macs INTEGER NOT NULL, 
	uncounted JSON NOT NULL, 
	layers JSON NOT NULL, 
	PRIMARY KEY (fingerprint)
);
INSERT INTO "architectures" VALUES('c1ed4e6894d73add','cbam_cnn(width=0.25)',73098,0,877824,'[]','[{"path": "conv1", "kind": "Conv2d", "parameter": "weight", "count": 216, "attention": false}, {"path": "conv1", "kind": "Conv2d", "parameter": "bias", "count": 8, "attention": false}, {"path": "bn1", "kind": "BatchNorm2d", "parameter": "weight", "count": 8, "attention": false}, {"path": "bn1", "kind": "BatchNorm2d", "parameter": "bias", "count": 8, "attention": false}, {"path": "conv2", "kind": "Conv2d", "parameter": "weight", "count": 1152, "attention": false}, {"path": "conv2", "kind": "Conv2d", "parameter": "bias", "count": 16, "attention": false}, {"path": "bn2", "kind": "BatchNorm2d", "parameter": "weight", "count": 16, "attention": false}, {"path": "bn2", "kind": "BatchNorm2d", "parameter": "bias", "count": 16, "attention": false}, {"path": "conv3", "kind": "Conv2d", "parameter": "weight", "count": 4608, "attention": false}, {"path": "conv3", "kind": "Conv2d", "parameter": "bias", "count": 32, "attention": false}, {"path": "bn3", "kind": "BatchNorm2d", "parameter": "weight", "count": 32, "attention": false}, {"path": "bn3", "kind": "BatchNorm2d", "parameter": "bias", "count": 32, "attention": false}, {"path": "fc1", "kind": "Linear", "parameter": "weight", "count": 65536, "attention": false}, {"path": "fc1", "kind": "Linear", "parameter": "bias", "count": 128, "attention": false}, {"path": "fc2", "kind": "Linear", "parameter": "weight", "count": 1280, "attention": false}, {"path": "fc2", "kind": "Linear", "parameter": "bias", "count": 10, "attention": false}]');
INSERT INTO "architectures" VALUES('2344a87d82c00ef5','cbam_cnn(width=0.25)',73226,128,877952,'[]','[{"path": "conv1", "kind": "Conv2d", "parameter": "weight", "count": 216, "attention": false}, {"path": "conv1", "kind": "Conv2d", "parameter": "bias", "count": 8, "attention": false}, {"path": "bn1", "kind": "BatchNorm2d", "parameter": "weight", "count": 8, "attention": false}, {"path": "bn1", "kind": "BatchNorm2d", "parameter": "bias", "count": 8, "attention": false}, {"path": "conv2", "kind": "Conv2d", "parameter": "weight", "count": 1152, "attention": false}, {"path": "conv2", "kind": "Conv2d", "parameter": "bias", "count": 16, "attention": false}, {"path": "bn2", "kind": "BatchNorm2d", "parameter": "weight", "count": 16, "attention": false}, {"path": "bn2", "kind": "BatchNorm2d", "parameter": "bias", "count": 16, "attention": false}, {"path": "conv3", "kind": "Conv2d", "parameter": "weight", "count": 4608, "attention": false}, {"path": "conv3", "kind": "Conv2d", "parameter": "bias", "count": 32, "attention": false}, {"path": "bn3", "kind": "BatchNorm2d", "parameter": "weight", "count": 32, "attention": false}, {"path": "bn3", "kind": "BatchNorm2d", "parameter": "bias", "count": 32, "attention": false}, {"path": "pool3.attention.fc1", "kind": "Linear", "parameter": "weight", "count": 64, "attention": true}, {"path": "pool3.attention.fc2", "kind": "Linear", "parameter": "weight", "count": 64, "attention": true}, {"path": "fc1", "kind": "Linear", "parameter": "weight", "count": 65536, "attention": false}, {"path": "fc1", "kind": "Linear", "parameter": "bias", "count": 128, "attention": false}, {"path": "fc2", "kind": "Linear", "parameter": "weight", "count": 1280, "attention": false}, {"path": "fc2", "kind": "Linear", "parameter": "bias", "count": 10, "attention": false}]');
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
INSERT INTO "attempts" VALUES('ec1855793aaa41252f3474235e4d91c7','66211f01c789f5d6',1,'a-host/a-boot',1,'2026-11-22T04:54:10.531Z','2026-11-22T04:54:19.703Z','finished',NULL);
INSERT INTO "attempts" VALUES('aa245279d1ee1323a8c58657435cd0e2','ad646a16295df9ea',1,'a-host/a-boot',1,'2026-11-22T04:54:19.709Z','2026-11-22T04:54:20.299Z','finished',NULL);
INSERT INTO "attempts" VALUES('27521817df97f2e0196607f5f58b57ad','9444cd593737a879',1,'a-host/a-boot',1,'2026-11-22T04:54:20.303Z','2026-11-22T04:54:20.817Z','finished',NULL);
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
	options JSON NOT NULL, 
	PRIMARY KEY (study, run_key), 
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);
INSERT INTO "cells" VALUES('earlier','66211f01c789f5d6','digits','57dc6a9a71709fe1',0,'none','none',NULL,NULL,NULL,'{}');
INSERT INTO "cells" VALUES('earlier','ad646a16295df9ea','digits','57dc6a9a71709fe1',1,'se(pool3, r=16)','se','pool3',16.0,NULL,'{"reduction": 16}');
INSERT INTO "cells" VALUES('earlier','9444cd593737a879','digits','57dc6a9a71709fe1',2,'none','none',NULL,NULL,NULL,'{}');
INSERT INTO "cells" VALUES('earlier','9b5b5d042bc44d8d','digits','57dc6a9a71709fe1',3,'se(pool3, r=16)','se','pool3',16.0,NULL,'{"reduction": 16}');
CREATE TABLE checkpoints (
	run_key VARCHAR(16) NOT NULL, 
	epoch INTEGER NOT NULL, 
	file TEXT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	written_at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (run_key, epoch), 
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
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
	measured_at VARCHAR(32) NOT NULL, rounds_dropped INTEGER, baseline VARCHAR(16), baseline_ratio FLOAT, ratio_low FLOAT, ratio_high FLOAT, copy_gib_per_second FLOAT, clock_mhz FLOAT, 
	PRIMARY KEY (fingerprint, device, precision, mode, batch_size, protocol), 
	FOREIGN KEY(fingerprint) REFERENCES architectures (fingerprint), 
	FOREIGN KEY(environment_id) REFERENCES environments (environment_id)
);
INSERT INTO "costs" VALUES('c1ed4e6894d73add','AMD EPYC (2 cores)','amp-bf16','train',64,'quick',6.40331948080814072465e+03,6.22912305093780832966e+03,6.61187952254613264813e+03,NULL,NULL,9,'a9cf1817e6e49300','2026-11-22T04:54:34.430Z',1,'c1ed4e6894d73add',1.002,0.99,1.01,NULL,NULL);
INSERT INTO "costs" VALUES('c1ed4e6894d73add','AMD EPYC (2 cores)','amp-bf16','infer',64,'quick',2.19138232054832551506e+04,2.15900761167876371481e+04,2.24984524495016776192e+04,0.51470349990268,NULL,9,'a9cf1817e6e49300','2026-11-22T04:54:34.431Z',1,'c1ed4e6894d73add',1.002,0.99,1.01,NULL,NULL);
INSERT INTO "costs" VALUES('2344a87d82c00ef5','AMD EPYC (2 cores)','amp-bf16','train',64,'quick',6.110205888405526821e+03,4.91727961258458617531e+03,6.19626413273815796877e+03,NULL,NULL,9,'a9cf1817e6e49300','2026-11-22T04:54:34.432Z',1,'2344a87d82c00ef5',1.002,0.99,1.01,NULL,NULL);
INSERT INTO "costs" VALUES('2344a87d82c00ef5','AMD EPYC (2 cores)','amp-bf16','infer',64,'quick',2.06211812952761902118e+04,1.92047287308992454205e+04,2.10865668495313948369e+04,4.87512500512821134179e-01,NULL,9,'a9cf1817e6e49300','2026-11-22T04:54:34.432Z',1,'2344a87d82c00ef5',1.002,0.99,1.01,NULL,NULL);
CREATE TABLE environments (
	environment_id VARCHAR(16) NOT NULL, 
	content JSON NOT NULL, 
	PRIMARY KEY (environment_id)
);
INSERT INTO "environments" VALUES('a9cf1817e6e49300','{"commit":null,"tree_clean":null,"python":"3.11.7","ablate":"0.1.0","torch":"2.15.0","torchvision":"0.29.2","numpy":"2.4.6","pillow":"13.0.0","scikit-learn":"1.9.1","platform":"Linux","command":"ablate run earlier.toml --max-runs 3","device":"AMD EPYC (2 cores)","precision":"amp-bf16","cuda":null}');
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
INSERT INTO "epochs" VALUES('66211f01c789f5d6',1,1.57483608570798483405e+00,5.40540540540540570546e-01,1.50790245216209561895e+00,7.6923076923076927347e-01,NULL,NULL,0.001,3.95288253999751759693e-01,3.37208757711402540725e+03);
INSERT INTO "epochs" VALUES('66211f01c789f5d6',2,6.01279604872221207223e-01,8.39382239382239436764e-01,3.41278556343558803209e-01,9.30069930069930106419e-01,NULL,NULL,0.001,3.10498468999867327511e-01,4.30047693351346515568e+03);
INSERT INTO "epochs" VALUES('ad646a16295df9ea',1,1.79705528393675462162e+00,4.82625482625482604692e-01,1.74632722014313812586e+00,7.90209790209790208237e-01,NULL,NULL,0.001,2.8847793199929583352e-01,4.67986729905880383725e+03);
INSERT INTO "epochs" VALUES('ad646a16295df9ea',2,8.06370117305328482082e-01,0.81003861003861,4.58201588450611874137e-01,9.0909090909090906063e-01,NULL,NULL,0.001,2.46752779999951599165e-01,5.43732636375359834352e+03);
INSERT INTO "epochs" VALUES('9444cd593737a879',1,1.70817706980760486423e+00,4.9266409266409266765e-01,1.45679532564603375632e+00,9.02097902097902082374e-01,NULL,NULL,0.001,2.57243481000841711647e-01,5.18646542706901800571e+03);
INSERT INTO "epochs" VALUES('9444cd593737a879',2,7.15436931742664428135e-01,8.30115830115830122259e-01,0.304779052734375,0.972027972027972,NULL,NULL,0.001,2.24145145999500527977e-01,5.96800540779629136532e+03);
CREATE TABLE explanations (
	run_key VARCHAR(16) NOT NULL, 
	content BLOB NOT NULL, 
	PRIMARY KEY (run_key), 
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);
CREATE TABLE kernels (
	device VARCHAR(255) NOT NULL, 
	precision VARCHAR(16) NOT NULL, 
	attention VARCHAR(64) NOT NULL, 
	kernel VARCHAR(16) NOT NULL, 
	PRIMARY KEY (device, precision, attention)
);
INSERT INTO "kernels" VALUES('AMD EPYC (2 cores)','amp-bf16','se','fused');
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
INSERT INTO "profiles" VALUES(1,'c1ed4e6894d73add','AMD EPYC (2 cores)','as_trained',NULL,'aten::native_batch_norm_backward',0.0,2.52714759999999478176e+03,3.0,1.86631702775613056433e-01,12.5);
INSERT INTO "profiles" VALUES(92,'2344a87d82c00ef5','AMD EPYC (2 cores)','as_trained',NULL,'aten::native_batch_norm_backward',0.0,3.12945839999998497659e+03,3.0,1.94997108371591593156e-01,12.5);
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
	finished_at VARCHAR(32), 
	PRIMARY KEY (run_key), 
	FOREIGN KEY(fingerprint) REFERENCES architectures (fingerprint), 
	FOREIGN KEY(environment_id) REFERENCES environments (environment_id)
);
INSERT INTO "runs" VALUES('66211f01c789f5d6','c1ed4e6894d73add','87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826','{"epochs": 2, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.001, "schedule": "plateau", "augment": [], "precision": "amp", "split": "validation", "validation_fraction": 0.1}',1,'finished',NULL,NULL,1,NULL,'a-host/a-boot',1,1.0,4,9.30069930069930106419e-01,0.924791086350975,3.70744285477237089931e-01,X'FFF7FFDBDFFBF7FFF3B3F9FFFF7FF7FFFFFDFFFFFF7FDFFDF7FFFFFFFFBFFFFFFFF7FFFFFFFFFBF7EFF77FFFFE',NULL,5.09695851000105903949e+00,3.78011415168412349876e+03,'AMD EPYC (2 cores)','amp-bf16','a9cf1817e6e49300','2026-11-22T04:54:10.531Z','2026-11-22T04:54:19.703Z');
INSERT INTO "runs" VALUES('ad646a16295df9ea','2344a87d82c00ef5','87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826','{"epochs": 2, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.001, "schedule": "plateau", "augment": [], "precision": "amp", "split": "validation", "validation_fraction": 0.1}',1,'finished',NULL,NULL,1,NULL,'a-host/a-boot',1,1.0,2,9.0909090909090906063e-01,9.08077994428969303974e-01,4.96437859070334275291e-01,X'FFE7FFDBDFFBF7FFF3BBF9FFFF7FF6FFFFFDFFDFFF7FDFFDF5FFFFFFFFBFFFFFFFF7FFFFFFFFFBF7EFF67FFFEC',NULL,5.78298313001141650602e-01,5030.24192124978,'AMD EPYC (2 cores)','amp-bf16','a9cf1817e6e49300','2026-11-22T04:54:19.709Z','2026-11-22T04:54:20.299Z');
INSERT INTO "runs" VALUES('9444cd593737a879','c1ed4e6894d73add','87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826','{"epochs": 2, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.001, "schedule": "plateau", "augment": [], "precision": "amp", "split": "validation", "validation_fraction": 0.1}',2,'finished',NULL,NULL,1,NULL,'a-host/a-boot',1,1.0,2,0.972027972027972,9.33147632311977726082e-01,3.63224252684866799611e-01,X'FBF7FFFFFFFBFFFFFFFBF9FFDFFFFFFFFFFFFFDFFBFFDFAFFFFFFFFFFFFFFFFFFFF5FFFFFFFFFBF5CFF67FFDEE',NULL,5.10221116999673540703e-01,5549.85604863436,'AMD EPYC (2 cores)','amp-bf16','a9cf1817e6e49300','2026-11-22T04:54:20.303Z','2026-11-22T04:54:20.817Z');
INSERT INTO "runs" VALUES('9b5b5d042bc44d8d','2344a87d82c00ef5','87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826','{"epochs": 2, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.001, "schedule": "plateau", "augment": [], "precision": "amp", "split": "validation", "validation_fraction": 0.1}',2,'planned',NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE steps (
	run_key VARCHAR(16) NOT NULL, 
	step INTEGER NOT NULL, 
	batch_loss FLOAT NOT NULL, 
	batch_accuracy FLOAT NOT NULL, 
	learning_rate FLOAT NOT NULL, epoch INTEGER, 
	PRIMARY KEY (run_key, step), 
	FOREIGN KEY(run_key) REFERENCES runs (run_key)
);
INSERT INTO "steps" VALUES('66211f01c789f5d6',1,2.41888952255249023437e+00,0.0625,0.001,1);
INSERT INTO "steps" VALUES('66211f01c789f5d6',2,2.23460555076599121093e+00,0.1015625,0.001,1);
INSERT INTO "steps" VALUES('66211f01c789f5d6',3,2.12691164016723632812e+00,1.51041666666666657414e-01,0.001,1);
INSERT INTO "steps" VALUES('66211f01c789f5d6',4,2.08310914039611816406e+00,0.17578125,0.001,1);
INSERT INTO "steps" VALUES('66211f01c789f5d6',5,1.91638898849487304687e+00,0.240625,0.001,1);
INSERT INTO "steps" VALUES('66211f01c789f5d6',6,1.87746167182922363281e+00,0.265625,0.001,1);
INSERT INTO "steps" VALUES('66211f01c789f5d6',7,1.8158346414566040039e+00,2.94642857142857150787e-01,0.001,2);
INSERT INTO "steps" VALUES('66211f01c789f5d6',8,1.88680243492126464843e+00,0.3125,0.001,2);
INSERT INTO "steps" VALUES('66211f01c789f5d6',9,1.69608676433563232421e+00,3.40277777777777790113e-01,0.001,2);
INSERT INTO "steps" VALUES('66211f01c789f5d6',10,1.49562120437622070312e+00,0.36875,0.001,2);
INSERT INTO "steps" VALUES('66211f01c789f5d6',11,1.51619470119476318359e+00,3.92045454545454530315e-01,0.001,2);
INSERT INTO "steps" VALUES('66211f01c789f5d6',12,1.48085057735443115234e+00,4.2057291666666668517e-01,0.001,2);
INSERT INTO "steps" VALUES('ad646a16295df9ea',1,2.33465218544006347656e+00,0.0625,0.001,1);
INSERT INTO "steps" VALUES('ad646a16295df9ea',2,2.26082110404968261718e+00,0.1015625,0.001,1);
INSERT INTO "steps" VALUES('ad646a16295df9ea',3,2.17697215080261230468e+00,1.66666666666666657414e-01,0.001,1);
INSERT INTO "steps" VALUES('ad646a16295df9ea',4,2.14356064796447753906e+00,0.1796875,0.001,1);
INSERT INTO "steps" VALUES('ad646a16295df9ea',5,2.06706833839416503906e+00,0.2375,0.001,1);
INSERT INTO "steps" VALUES('ad646a16295df9ea',6,2.05707454681396484375e+00,0.25,0.001,1);
INSERT INTO "steps" VALUES('ad646a16295df9ea',7,1.99133980274200439453e+00,2.67857142857142849212e-01,0.001,2);
INSERT INTO "steps" VALUES('ad646a16295df9ea',8,2.06443858146667480468e+00,0.275390625,0.001,2);
INSERT INTO "steps" VALUES('ad646a16295df9ea',9,1.89856278896331787109e+00,0.296875,0.001,2);
INSERT INTO "steps" VALUES('ad646a16295df9ea',10,1.79212939739227294921e+00,0.3203125,0.001,2);
INSERT INTO "steps" VALUES('ad646a16295df9ea',11,1.81031572818756103515e+00,3.36647727272727292913e-01,0.001,2);
INSERT INTO "steps" VALUES('ad646a16295df9ea',12,1.76761257648468017578e+00,3.56770833333333314829e-01,0.001,2);
INSERT INTO "steps" VALUES('9444cd593737a879',1,2.38081860542297363281e+00,0.0625,0.001,1);
INSERT INTO "steps" VALUES('9444cd593737a879',2,2.27710461616516113281e+00,0.1171875,0.001,1);
INSERT INTO "steps" VALUES('9444cd593737a879',3,2.27354931831359863281e+00,0.125,0.001,1);
INSERT INTO "steps" VALUES('9444cd593737a879',4,2.14631700515747070312e+00,0.15625,0.001,1);
INSERT INTO "steps" VALUES('9444cd593737a879',5,2.0572376251220703125e+00,0.184375,0.001,1);
INSERT INTO "steps" VALUES('9444cd593737a879',6,2.11280727386474609375e+00,0.203125,0.001,1);
INSERT INTO "steps" VALUES('9444cd593737a879',7,1.92148220539093017578e+00,2.41071428571428575393e-01,0.001,2);
INSERT INTO "steps" VALUES('9444cd593737a879',8,1.81456589698791503906e+00,0.27734375,0.001,2);
INSERT INTO "steps" VALUES('9444cd593737a879',9,1.86034381389617919921e+00,2.86458333333333314829e-01,0.001,2);
INSERT INTO "steps" VALUES('9444cd593737a879',10,1.79348695278167724609e+00,0.3015625,0.001,2);
INSERT INTO "steps" VALUES('9444cd593737a879',11,1.65447163581848144531e+00,3.23863636363636353543e-01,0.001,2);
INSERT INTO "steps" VALUES('9444cd593737a879',12,1.60213160514831542968e+00,3.4635416666666668517e-01,0.001,2);
CREATE TABLE studies (
	study VARCHAR(64) NOT NULL, 
	dataset VARCHAR(255) NOT NULL, 
	setting VARCHAR(16) NOT NULL, 
	definition JSON NOT NULL, 
	updated_at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (study, dataset, setting)
);
INSERT INTO "studies" VALUES('earlier','digits','57dc6a9a71709fe1','{"name": "earlier", "question": "Does a database of revision 0001 open?", "dataset": "digits", "image_size": 32, "backbone": "cbam_cnn(width=0.25)", "baseline": "none", "seeds": 2, "baseline_seeds": null, "equivalence_margin": null, "recipe": {"epochs": 2, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.001, "schedule": "plateau", "augment": [], "precision": "amp", "split": "validation", "validation_fraction": 0.1}, "grid": [{"attention": "none", "position": null}, {"attention": "se", "position": "pool3"}], "variants": ["none", "se(pool3, r=16)"], "aliases": {}}','2026-11-22T04:54:10.493Z');
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
INSERT INTO "traces" VALUES('2344a87d82c00ef5','AMD EPYC (2 cores)','eager',NULL,'no room','2026-11-01T00:00:00.000Z');
CREATE INDEX cells_in_order ON cells (study, dataset, setting, ordinal);
CREATE INDEX ix_attempts_run_key ON attempts (run_key);
CREATE INDEX profiles_by_fingerprint ON profiles (fingerprint, device);
CREATE VIEW v_runs AS 
        SELECT c.study, c.run_key, c.variant, r.fingerprint, a.backbone, c.attention, c.position,
               c.reduction, c.kernel_size, c.options, c.dataset, r.seed, r.status, r.failure,
               r.error, r.attempts,
               (SELECT COUNT(*) FROM epochs e WHERE e.run_key = r.run_key) AS epochs,
               r.val_accuracy, r.test_accuracy, a.parameters, a.attention_parameters, a.macs,
               r.seconds, r.train_images_per_second, r.device, r.precision,
               r.started_at, r.finished_at, c.setting, c.ordinal
        FROM cells c
        JOIN runs r ON r.run_key = c.run_key
        JOIN architectures a ON a.fingerprint = r.fingerprint;
CREATE VIEW v_epochs AS 
        SELECT run_key, epoch, train_loss, train_accuracy, val_loss, val_accuracy,
               test_loss, test_accuracy, learning_rate, seconds, images_per_second
        FROM epochs;
CREATE VIEW v_steps AS 
        SELECT run_key, step, batch_loss, batch_accuracy, learning_rate FROM steps;
CREATE VIEW v_costs AS 
        SELECT DISTINCT c.variant, k.fingerprint, k.device, k.precision, k.mode, k.batch_size,
               k.images_per_second, k.p10, k.p90, k.latency_ms, k.peak_memory_mib,
               k.protocol, k.rounds, k.measured_at, k.rounds_dropped, k.baseline,
               k.baseline_ratio, k.ratio_low, k.ratio_high, k.copy_gib_per_second, k.clock_mhz,
               json_extract(e.content, '$.torch') AS torch
        FROM costs k
        JOIN environments e ON e.environment_id = k.environment_id
        JOIN runs r ON r.fingerprint = k.fingerprint
        JOIN cells c ON c.run_key = r.run_key;
CREATE VIEW v_profile AS 
        SELECT fingerprint, device, path, module, operator, self_device_us, self_cpu_us,
               calls, share, memory_kib
        FROM profiles;
COMMIT;
