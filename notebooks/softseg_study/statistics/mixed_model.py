"""Contrast as a within-participant factor: repeated-measures ANOVA and a mixed model."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats


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
