class ReportsController < ApplicationController
  FIELDS = %w[title total].freeze

  def show
    report = Report.find(params[:id])
    field = params[:field]
    return head :bad_request unless FIELDS.include?(field)

    render json: report.public_send(field)
  end
end
