mod azurite;
mod cli;
mod decode;
mod reference;
mod sql;
mod tidy;
