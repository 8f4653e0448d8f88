mod archive;
mod azurite;
mod cases;
mod cli;
mod decode;
mod reference;
mod sql;
mod tidy;
