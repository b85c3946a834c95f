"""One adapter per data set; each hands on what was measured and the capacity that was measured with it.

To add a public set:

1. a file here with ``labelled_tests(data_folder, **settings) -> LabelledTests``. Its tests are all of
   one class: `BatteryHistory` for any method (build the canonical table the published curve is, and
   features follow from the one definition), or a class `training.table` computes at once;
2. its word in ``training.plan_datasets``: in `PublicSetPlan.kind`, or, if it has settings, a class of
   its own with a field for each, added to `DatasetPlan`;
3. its line in ``training.datasets.registry.PUBLIC_SETS``.

Mark in the labels as ``visit`` the rows that look like a battery at a station: the first of each
battery calibrates and is judged, all others train and are shown as grid. Two ages of one cell are two
batteries (``battery_id``) of one ``physical_cell``.
"""
