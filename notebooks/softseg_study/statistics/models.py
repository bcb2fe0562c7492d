"""Contrast as a within-participant factor: repeated-measures ANOVA and a mixed model."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from softseg_study.statistics.agreement import mean_squares


def repeated_measures_anova(
    table: pd.DataFrame,
    value: str = "area_mm2",
    *,
    within: str = "contrast",
    subject: str = "subject",
) -> dict[str, float]:
    """Does the mean depend on the contrast? F test with participants as blocks.

    The plain p holds if all differences between contrasts vary alike (sphericity), which contrasts
    that share a sequence do not: `p_gg` shrinks both degrees of freedom by Greenhouse and Geisser's
    epsilon (1959, doi:10.1007/BF02289823). Participants who lack a contrast are left out; the mixed
    model keeps them.

    Args:
        table: One row per participant and contrast.
        value: Column measured.
        within: The factor.
        subject: Column of the participants.

    Returns:
        `n`, `k`, `f`, `df1`, `df2`, `p`, `epsilon`, `p_gg`, `partial_eta_squared`.

    Raises:
        ValueError: If rows are double or fewer than two participants or contrasts are complete.
    """
    if table.duplicated([subject, within]).any():
        raise ValueError(f"one row per {subject} and {within} is needed, found several")
    x = table.pivot_table(index=subject, columns=within, values=value).dropna().to_numpy(float)
    n, k = x.shape
    if n < 2 or k < 2:
        raise ValueError(f"two complete {subject}s and two {within}s are needed, found {n} and {k}")
    _, effect, error, _ = mean_squares(x)
    f, df1, df2 = effect / error, k - 1, (n - 1) * (k - 1)
    epsilon = greenhouse_geisser(x)
    return {
        "n": n,
        "k": k,
        "f": float(f),
        "df1": df1,
        "df2": df2,
        "p": float(stats.f.sf(f, df1, df2)),
        "epsilon": epsilon,
        "p_gg": float(stats.f.sf(f, df1 * epsilon, df2 * epsilon)),
        "partial_eta_squared": float(effect * df1 / (effect * df1 + error * df2)),
    }


def anova_by_method(csa_table: pd.DataFrame, value: str = "area_mm2") -> pd.DataFrame:
    """`repeated_measures_anova` of contrast for every method, one row each.

    Args:
        csa_table: `subject`, `contrast`, `method` and `value`.
        value: Column measured.

    Returns:
        `method`, the figures of `repeated_measures_anova`, and `note`, which says where too few
        participants are complete for a test.
    """
    rows = []
    for method, part in csa_table.groupby("method", sort=False, observed=True):
        wide = part.pivot_table(index="subject", columns="contrast", values=value).dropna()
        if len(wide) < 2 or wide.shape[1] < 2:
            note = f"n too small: {len(wide)} participants with all contrasts"
            rows.append({"method": method, "n": len(wide), "note": note})
        else:
            found = repeated_measures_anova(part, value)
            rows.append({"method": method} | found | {"note": ""})
    return pd.DataFrame(rows)


def greenhouse_geisser(x: np.ndarray) -> float:
    """Greenhouse and Geisser's epsilon: 1 under sphericity, `1 / (k - 1)` at worst.

    Args:
        x: `(n, k)`, participants by conditions.
    """
    k = x.shape[1]
    centring = np.eye(k) - 1 / k
    covariance = centring @ np.cov(x, rowvar=False) @ centring
    total = (covariance**2).sum()
    return float(np.trace(covariance) ** 2 / ((k - 1) * total)) if total > 0 else 1.0


@dataclass(frozen=True)
class MixedModel:
    """A fitted linear mixed model.

    Attributes:
        fixed: `term`, `estimate`, `se`, `z`, `p`, `ci_low`, `ci_high`.
        random: `source` (site, subject, residual), `variance`, `sd`, `share` of the total.
        effect: Joint Wald test of all fixed terms but the intercept: `chi2`, `df`, `p`.
        n_rows: Measurements used.
        n_subjects: Participants used.
        converged: Whether the fit ended well.
        note: What the fit warned of, empty if nothing.
    """

    fixed: pd.DataFrame
    random: pd.DataFrame
    effect: dict[str, float]
    n_rows: int
    n_subjects: int
    converged: bool
    note: str


def mixed_model(
    table: pd.DataFrame,
    value: str = "area_mm2",
    *,
    fixed: str = "C(contrast)",
    subject: str = "subject",
    site: str | None = None,
) -> MixedModel:
    """Linear mixed model with participants, and sites if given, as random intercepts (REML).

    Participants with missing contrasts stay in, people of one site may resemble one another, and
    measurements of one person are not taken for independent: what pooled tests get wrong.

    Args:
        table: Tidy rows.
        value: Column explained.
        fixed: Right side of a formula, for example `C(contrast) * C(method)`.
        subject: Column of the participants (names unique over sites).
        site: Column of the sites; None for none.

    Returns:
        Estimates, variances and the joint test of the fixed terms.

    Raises:
        ValueError: If fewer than two participants have a value.
    """
    import statsmodels.formula.api as smf  # a second of imports that few callers need

    used = table.dropna(subset=[value, subject, *([site] if site else [])])
    if used[subject].nunique() < 2:
        raise ValueError(f"two participants are needed, found {used[subject].nunique()}")
    options = {"groups": used[subject]}
    if site:
        options = {
            "groups": used[site],
            "re_formula": "1",
            "vc_formula": {"subject": f"0 + C({subject})"},
        }
    model = smf.mixedlm(f"{value} ~ {fixed}", used, **options)
    result, said = _fit(model)
    return MixedModel(
        fixed=_fixed(result),
        random=_random(result, has_site=bool(site)),
        effect=_joint_test(result),
        n_rows=len(used),
        n_subjects=int(used[subject].nunique()),
        converged=bool(result.converged),
        note=said,
    )


def _fit(model) -> tuple[object, str]:
    """The REML fit of the first optimiser that converges, and what the last one warned of."""
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    result, said = None, ""
    for method in ("bfgs", "lbfgs", "powell"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = model.fit(reml=True, method=[method])
            except np.linalg.LinAlgError:  # a step too far; another optimiser takes other steps
                continue
        messages = [str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)]
        said = "; ".join(dict.fromkeys(messages))
        if result.converged:
            break
    if result is None:
        raise ValueError("the mixed model is singular: drop a term or a random effect")
    return result, said


def _fixed(result) -> pd.DataFrame:
    names = result.fe_params.index
    interval = result.conf_int().loc[names]
    return pd.DataFrame(
        {
            "term": names,
            "estimate": result.fe_params.to_numpy(),
            "se": result.bse_fe.to_numpy(),
            "z": result.tvalues[names].to_numpy(),
            "p": result.pvalues[names].to_numpy(),
            "ci_low": interval[0].to_numpy(),
            "ci_high": interval[1].to_numpy(),
        }
    )


def _random(result, *, has_site: bool) -> pd.DataFrame:
    first = float(np.asarray(result.cov_re)[0, 0])
    sources = {"site": first, "subject": float(result.vcomp[0])} if has_site else {"subject": first}
    variances = pd.Series(sources | {"residual": float(result.scale)})
    return pd.DataFrame(
        {
            "source": variances.index,
            "variance": variances.to_numpy(),
            "sd": np.sqrt(variances.to_numpy()),
            "share": (variances / variances.sum()).to_numpy(),
        }
    )


def _joint_test(result) -> dict[str, float]:
    terms = [i for i, name in enumerate(result.fe_params.index) if name != "Intercept"]
    if not terms:
        return {"chi2": float("nan"), "df": 0, "p": float("nan")}
    estimates = result.fe_params.to_numpy()[terms]
    covariance = result.cov_params().to_numpy()[np.ix_(terms, terms)]
    chi2 = float(estimates @ np.linalg.solve(covariance, estimates))
    return {"chi2": chi2, "df": len(terms), "p": float(stats.chi2.sf(chi2, len(terms)))}
