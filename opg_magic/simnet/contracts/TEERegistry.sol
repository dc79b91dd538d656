// SPDX-License-Identifier: BSD-3-Clause
pragma solidity 0.8.36;

/// What the chain verifies natively, at address 0x900.
interface IVerificationPrecompile {
    /// True and keccak256(pcr0 || pcr1 || pcr2) if the document is genuine and names this key and this certificate.
    function verifyAttestation(bytes calldata document, bytes calldata signingKey, bytes calldata tlsCertificate)
        external
        view
        returns (bool valid, bytes32 pcrHash);

    /// RSASSA-PSS (SHA-256, MGF1-SHA-256, salt 32) over the 32 bytes of `digest`; `publicKey` is DER.
    function verifyRSAPSS(bytes calldata publicKey, bytes32 digest, bytes calldata signature)
        external
        view
        returns (bool valid);
}

/// The list of hosts ("TEEs") of the simulated network: who they are, what code they run, whether they are alive.
///
/// A host is active when it is enabled, its PCR hash is approved for its type, and its last heartbeat is not older than
/// `heartbeatMaxAge` seconds.
contract TEERegistry {
    struct OHTTPConfig {
        uint8 keyId;
        uint16 kemId;
        uint16 kdfId;
        uint16 aeadId;
        bytes publicKey;
        bytes keyConfig;
        uint256 registeredAt;
    }

    struct TEEInfo {
        address owner;
        address paymentAddress;
        string endpoint;
        bytes publicKey;
        bytes tlsCertificate;
        bytes32 pcrHash;
        uint8 teeType;
        bool enabled;
        uint256 registeredAt;
        uint256 lastHeartbeatAt;
        OHTTPConfig ohttpConfig;
    }

    struct PCRRecord {
        bool approved;
        uint8 teeType;
        uint256 approvedAt;
        string version;
    }

    struct ApprovedPCR {
        bytes32 pcrHash;
        uint8 teeType;
    }

    event TEERegistered(bytes32 indexed teeId, address indexed owner, uint8 teeType);
    event TEEEnabled(bytes32 indexed teeId);
    event TEEDisabled(bytes32 indexed teeId);
    event PCRApproved(bytes32 indexed pcrHash, uint8 indexed teeType, string version);
    event PCRRevoked(bytes32 indexed pcrHash, uint8 indexed teeType);
    event HeartbeatReceived(bytes32 indexed teeId, uint256 timestamp);

    error NotAdmin();
    error NotOwner();
    error AlreadyInitialized();
    error UnknownTEE(bytes32 teeId);
    error AlreadyRegistered(bytes32 teeId);
    error NotEnabled(bytes32 teeId);
    error PCRNotApproved(bytes32 pcrHash);
    error AttestationInvalid();
    error SignatureInvalid();
    error TimestampOutOfBounds(uint256 timestamp);
    error TimestampNotNewer(uint256 timestamp);

    IVerificationPrecompile private constant VERIFIER = IVerificationPrecompile(address(0x900));

    /// How far a signed timestamp may lie behind and ahead of the block's, inclusive.
    uint256 public constant MAX_TIMESTAMP_AGE = 3600;
    uint256 public constant MAX_TIMESTAMP_LEAD = 300;

    address public admin;

    /// Seconds after which a silent host stops being active.
    uint256 public heartbeatMaxAge;

    /// Approval of one measurement for one type of host.
    mapping(uint8 teeType => mapping(bytes32 pcrHash => PCRRecord)) public pcrRecords;

    mapping(bytes32 teeId => TEEInfo) private _tees;
    mapping(uint8 teeType => bytes32[]) private _idsOfType;
    mapping(bytes32 teeId => uint256) private _lastSignedHeartbeat;

    /// Every measurement that was ever approved, once; `getApprovedPCRs` leaves out what was revoked.
    ApprovedPCR[] private _everApproved;

    modifier onlyAdmin() {
        if (msg.sender != admin) revert NotAdmin();
        _;
    }

    modifier onlyOwnerOrAdmin(bytes32 teeId) {
        address owner = _known(teeId).owner;
        if (msg.sender != owner && msg.sender != admin) revert NotOwner();
        _;
    }

    /// The code is put into the chain's state without a constructor: this takes its place, once.
    function initialize(address newAdmin, uint256 maxAge) external {
        if (admin != address(0)) revert AlreadyInitialized();
        admin = newAdmin;
        heartbeatMaxAge = maxAge;
    }

    // ------------------------------------------------------------------------------------------------ administration

    function setHeartbeatMaxAge(uint256 seconds_) external onlyAdmin {
        heartbeatMaxAge = seconds_;
    }

    function approvePCR(bytes32 pcrHash, uint8 teeType, string calldata version) external onlyAdmin {
        PCRRecord storage record = pcrRecords[teeType][pcrHash];
        if (record.approvedAt == 0) _everApproved.push(ApprovedPCR(pcrHash, teeType));
        record.approved = true;
        record.teeType = teeType;
        record.approvedAt = block.timestamp;
        record.version = version;
        emit PCRApproved(pcrHash, teeType, version);
    }

    function revokePCR(bytes32 pcrHash, uint8 teeType) external onlyAdmin {
        PCRRecord storage record = pcrRecords[teeType][pcrHash];
        if (!record.approved) revert PCRNotApproved(pcrHash);
        record.approved = false;
        emit PCRRevoked(pcrHash, teeType);
    }

    // -------------------------------------------------------------------------------------------------------- hosts

    /// Lists a host of the caller's.  Its key, certificate and measurements come from a genuine attestation document;
    /// endpoint and payment address are the caller's word.
    function registerTEE(
        bytes calldata document,
        bytes calldata publicKey,
        bytes calldata tlsCertificate,
        address paymentAddress,
        string calldata endpoint,
        uint8 teeType
    ) external returns (bytes32 teeId) {
        (bool valid, bytes32 pcrHash) = VERIFIER.verifyAttestation(document, publicKey, tlsCertificate);
        if (!valid) revert AttestationInvalid();
        if (!pcrRecords[teeType][pcrHash].approved) revert PCRNotApproved(pcrHash);
        teeId = keccak256(publicKey);
        TEEInfo storage tee = _tees[teeId];
        if (tee.registeredAt != 0) revert AlreadyRegistered(teeId);
        tee.owner = msg.sender;
        tee.paymentAddress = paymentAddress;
        tee.endpoint = endpoint;
        tee.publicKey = publicKey;
        tee.tlsCertificate = tlsCertificate;
        tee.pcrHash = pcrHash;
        tee.teeType = teeType;
        tee.enabled = true;
        tee.registeredAt = block.timestamp;
        tee.lastHeartbeatAt = block.timestamp;
        _idsOfType[teeType].push(teeId);
        emit TEERegistered(teeId, msg.sender, teeType);
    }

    function enableTEE(bytes32 teeId) external onlyOwnerOrAdmin(teeId) {
        TEEInfo storage tee = _tees[teeId];
        if (!pcrRecords[tee.teeType][tee.pcrHash].approved) revert PCRNotApproved(tee.pcrHash);
        tee.enabled = true;
        emit TEEEnabled(teeId);
    }

    function disableTEE(bytes32 teeId) external onlyOwnerOrAdmin(teeId) {
        _tees[teeId].enabled = false;
        emit TEEDisabled(teeId);
    }

    function setOHTTPConfig(
        bytes32 teeId,
        uint8 keyId,
        uint16 kemId,
        uint16 kdfId,
        uint16 aeadId,
        bytes calldata publicKey,
        bytes calldata keyConfig
    ) external onlyOwnerOrAdmin(teeId) {
        _tees[teeId].ohttpConfig = OHTTPConfig(keyId, kemId, kdfId, aeadId, publicKey, keyConfig, block.timestamp);
    }

    /// A sign of life sent by the host's owner.
    function heartbeatByOwner(bytes32 teeId) external onlyOwnerOrAdmin(teeId) {
        _beat(teeId, block.timestamp);
    }

    /// A sign of life by anyone's hand, signed by the host's own key over keccak256(teeId || timestamp).
    function heartbeat(bytes32 teeId, uint256 timestamp, bytes calldata signature) external {
        TEEInfo storage tee = _known(teeId);
        if (timestamp + MAX_TIMESTAMP_AGE < block.timestamp || timestamp > block.timestamp + MAX_TIMESTAMP_LEAD) {
            revert TimestampOutOfBounds(timestamp);
        }
        if (timestamp <= _lastSignedHeartbeat[teeId]) revert TimestampNotNewer(timestamp);
        bytes32 digest = keccak256(abi.encodePacked(teeId, timestamp));
        if (!VERIFIER.verifyRSAPSS(tee.publicKey, digest, signature)) revert SignatureInvalid();
        _lastSignedHeartbeat[teeId] = timestamp;
        _beat(teeId, timestamp);
    }

    // -------------------------------------------------------------------------------------------------------- views

    function getTEE(bytes32 teeId) external view returns (TEEInfo memory) {
        return _known(teeId);
    }

    function isTEEEnabled(bytes32 teeId) external view returns (bool) {
        return _tees[teeId].enabled;
    }

    function isTEEActive(bytes32 teeId) external view returns (bool) {
        return _isActive(_tees[teeId]);
    }

    function getTEEsByType(uint8 teeType) external view returns (bytes32[] memory) {
        return _idsOfType[teeType];
    }

    function getEnabledTEEs(uint8 teeType) external view returns (bytes32[] memory enabled) {
        bytes32[] storage ids = _idsOfType[teeType];
        enabled = new bytes32[](ids.length);
        uint256 count;
        for (uint256 i; i < ids.length; ++i) {
            if (_tees[ids[i]].enabled) enabled[count++] = ids[i];
        }
        assembly ("memory-safe") {
            mstore(enabled, count)
        }
    }

    function getActiveTEEs(uint8 teeType) external view returns (TEEInfo[] memory active) {
        bytes32[] storage ids = _idsOfType[teeType];
        uint256 count;
        for (uint256 i; i < ids.length; ++i) {
            if (_isActive(_tees[ids[i]])) ++count;
        }
        active = new TEEInfo[](count);
        count = 0;
        for (uint256 i; i < ids.length; ++i) {
            TEEInfo storage tee = _tees[ids[i]];
            if (_isActive(tee)) active[count++] = tee;
        }
    }

    function getApprovedPCRs() external view returns (ApprovedPCR[] memory approved) {
        approved = new ApprovedPCR[](_everApproved.length);
        uint256 count;
        for (uint256 i; i < _everApproved.length; ++i) {
            ApprovedPCR memory entry = _everApproved[i];
            if (pcrRecords[entry.teeType][entry.pcrHash].approved) approved[count++] = entry;
        }
        assembly ("memory-safe") {
            mstore(approved, count)
        }
    }

    // ------------------------------------------------------------------------------------------------------- private

    function _known(bytes32 teeId) private view returns (TEEInfo storage tee) {
        tee = _tees[teeId];
        if (tee.registeredAt == 0) revert UnknownTEE(teeId);
    }

    function _isActive(TEEInfo storage tee) private view returns (bool) {
        return tee.enabled && pcrRecords[tee.teeType][tee.pcrHash].approved
            && block.timestamp <= tee.lastHeartbeatAt + heartbeatMaxAge;
    }

    function _beat(bytes32 teeId, uint256 timestamp) private {
        TEEInfo storage tee = _tees[teeId];
        if (!tee.enabled) revert NotEnabled(teeId);
        tee.lastHeartbeatAt = block.timestamp;
        emit HeartbeatReceived(teeId, timestamp);
    }
}
