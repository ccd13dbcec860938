//! End to end: the real binary, its embedded broker, real producers, real crashes. What the lake
//! holds at the end is read back file by file and compared with a naive oracle.

mod cluster;
mod crash;
mod hour;
mod lake;
mod node;
mod oracle;
mod producer;
mod s3;
mod s3_server;
mod trouble;
