mod decode;
mod reference;
