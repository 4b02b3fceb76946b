import io
import pickle
import warnings

import joblib
import numpy as np
import sklearn
from sklearn import (
    cluster, datasets, decomposition, ensemble, linear_model, metrics, model_selection, neighbors, svm, tree,
)
from sklearn.experimental import enable_hist_gradient_boosting  # 0.24 wants to be asked

from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def handler(event, context):
    x, y = datasets.load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), linear_model.LogisticRegression(max_iter=300))
    assert model_selection.cross_val_score(model, x, y, cv=3).mean() > 0.9
    file = io.BytesIO()
    joblib.dump(model.fit(x, y), file)
    again = joblib.load(io.BytesIO(file.getvalue()))
    assert (again.predict(x) == model.predict(x)).all() and pickle.loads(pickle.dumps(model)).score(x, y) > 0.9
    for other in [
        ensemble.RandomForestClassifier(10, random_state=0),
        ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0), svm.SVC(random_state=0),
        neighbors.KNeighborsClassifier(), tree.DecisionTreeClassifier(random_state=0),
        MLPClassifier(max_iter=200, random_state=0), linear_model.SGDClassifier(random_state=0),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert other.fit(x, y).score(x, y) > 0.6, other
    assert ensemble.HistGradientBoostingClassifier(max_iter=5).fit(x, y).score(x, y) > 0.9
    for grouping in [cluster.KMeans(3, n_init=2), cluster.DBSCAN()]:
        assert grouping.fit(x).labels_.shape == (150,)
    assert decomposition.PCA(2).fit_transform(x).shape == (150, 2)
    assert TfidfVectorizer(stop_words="english").fit_transform(["a red fox", "the blue fox"]).shape == (2, 3)
    mixed = np.array([["a", 1], ["b", 2]], dtype=object)
    columns = ColumnTransformer([("c", OneHotEncoder(), [0]), ("n", SimpleImputer(), [1])])
    assert columns.fit_transform(mixed).shape == (2, 3)
    search = model_selection.GridSearchCV(svm.SVC(), {"C": [0.1, 1]}, cv=2).fit(x, y)
    assert search.best_score_ > 0.8 and "precision" in metrics.classification_report(y, model.predict(x))
    assert metrics.roc_auc_score([0, 1], [0.1, 0.9]) == 1 and "LogisticRegression" in repr(model)
    sklearn.set_config(display="diagram")
    assert not hasattr(model, "_repr_html_") or "LogisticRegression" in model._repr_html_()
    assert datasets.make_blobs(5)[0].shape == (5, 2) and "Iris" in datasets.load_iris().DESCR
    assert linear_model.LinearRegression().fit([[1], [2]], [1, 2]).coef_[0] > 0.99
