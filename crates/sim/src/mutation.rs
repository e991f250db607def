//! Mistakes put in between engine and world, to see that the judge finds them.

/// One mistake, made again and again while a run lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A PUBLISH of the broker is thrown away before it is written.
    LosePublish,
    /// A message between shards is thrown away.
    LoseForward,
    /// A QoS 2 message of a client is taken in twice.
    RepeatPublish,
    /// Two messages between shards change places.
    SwapForwards,
    /// A record of a waiting message never reaches the disk.
    LoseRecord,
    /// A message that waits on disk is not found when it is read.
    LoseFetched,
    /// Two messages that wait on disk change places.
    SwapFetched,
    /// What was read for a session before is taken for what is read now.
    StaleFetched,
    /// What comes back from disk is judged by the rights of the beginning.
    JudgeFetchedEarly,
    /// The engine is told of a commit before it is durable.
    CommitEarly,
    /// The engine is never told of changed rights.
    HideRights,
    /// CONNACK says the opposite about the session.
    FlipSessionPresent,
    /// A byte of a packet is changed.
    BreakPacket,
    /// Acknowledgements of the client are hidden from the judge.
    HideAcknowledgement,
    /// What is retained comes in the place of what was retained later on its topic.
    StaleRetained,
    /// A packet id is replaced by one in use.
    ReusePacketId,
    /// A normal DISCONNECT is a lost connection to the engine.
    HideDisconnect,
    /// A client's PUBACK never arrives.
    LosePuback,
    /// The world believes in smaller limits than the engine has.
    ShrinkLimits,
    /// Sessions of one person are asked for as another's.
    SwapPeople,
    /// The last connection is never closed.
    KeepConnection,
    /// Half of what is written in a crash is there.
    TearBatch,
    /// What a disk said no to is not written again.
    ForgetFailure,
    /// What a disk said no to is taken for not there.
    TrustFailure,
    /// The judge is not told what a disk that lies has lost.
    HideLie,
}
