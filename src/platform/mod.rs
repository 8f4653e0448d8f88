//! What Azure says of its own state: network status of API Management, and the changes that the activity log and Resource
//! Graph record. Reads files, and knows no flow logs and no SQL.
