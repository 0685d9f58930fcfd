"""Train a classifier on Fisher's iris measurements; MLflow records what happens by itself."""

import argparse

import joblib
import mlflow
import pandas
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="a CSV file with a column 'species'")
parser.add_argument("--regularisation", type=float, default=1.0)
arguments = parser.parse_args()

mlflow.autolog(log_models=False, silent=True)  # parameters and metrics; the model goes to outputs/ below

flowers = pandas.read_csv(arguments.data)
features, species = flowers.drop(columns="species"), flowers["species"]
train_x, test_x, train_y, test_y = train_test_split(features, species, test_size=0.3, random_state=1, stratify=species)
print(f"{len(train_x)} flowers to learn from, {len(test_x)} to test with")

with mlflow.start_run():  # on Mayfly this is the job's own run
    model = LogisticRegression(C=1 / arguments.regularisation, max_iter=500)
    model.fit(train_x, train_y)

    accuracy = model.score(test_x, test_y)
    mlflow.log_metric("test_accuracy", accuracy)
    print(f"accuracy on flowers never seen: {accuracy:.3f}")

joblib.dump(model, "outputs/model.joblib")
with open("outputs/accuracy.txt", "w", encoding="utf-8") as file:
    file.write(f"{accuracy:.4f}\n")
