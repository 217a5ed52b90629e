class ReportsController < ApplicationController
  def show
    report = Report.find(params[:id])
    render json: report.send(params[:field])
  end
end
