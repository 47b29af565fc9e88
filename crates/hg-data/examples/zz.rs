fn main() { print!("{}", hg_data::json_schema()); }
